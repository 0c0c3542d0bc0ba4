"""Databases of ADK's own services: their apps, names that are mistyped, and what a copy leaves in them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from support.conversations import IN_ORDER, filled, outcomes
from support.servers import MongoServer

from adk_extra_sessions import ConfigurationError, RedisSessionStore, SessionConflictError
from adk_extra_sessions.cli.main import main
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import Outcome, ServicePlace, StorePlace, copy_items, open_place, verify_items
from adk_extra_sessions.transfer.sql_apps import sqlite_path

Run = Callable[..., tuple[int, str]]
SHORT = {"short": 3}


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of SqliteSessionService, or of DatabaseSessionService."""
    return f"{request.param}:///{tmp_path}/of%20adk.db"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str]:
        code = main(arguments)
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def source() -> Iterator[StorePlace]:
    """A store with sessions, and with state of their users and app."""
    with RedisSessionStore("fakeredis://source-of-adk-databases") as store:
        for user in ("u:0", "u:1"):
            live = store.create_session(app_name=APP, user_id=user, session_id="one", state={"app:x": 0, "user:x": 0})
            for number in (1, 2, 3):
                delta = {"app:x": number, "app:y": number, "user:x": number, "own": number}
                store.append_event(live, an_event(str(number), at=1000.0 + number, delta=delta))
        yield StorePlace(store)
        for user in ("u:0", "u:1"):
            store.delete_session(app_name=APP, user_id=user, session_id="one")


def fill(url: str, *apps: str) -> None:
    """Makes a database with one session in each app."""
    with open_place(url) as place:
        assert isinstance(place, ServicePlace)
        for app in apps:
            place._portal.call(lambda app=app: place.service.create_session(app_name=app, user_id="u", session_id="s"))


def file_of(url: str) -> Path:
    """The file of the URL; what ADK and SQLAlchemy make of "%20" differs."""
    path = Path(url.partition(":///")[2])
    return path if path.exists() or not url.startswith("sqlite+") else Path(sqlite_path(url))


def everything(url: str) -> str:
    """All that a SQLite database holds, as one text."""
    with closing(sqlite3.connect(file_of(url))) as connection:
        return "\n".join(connection.iterdump())


def test_all_apps_of_a_database_are_copied(url: str, run: Run) -> None:
    fill(url, "shop", "support", "o'brien; DROP TABLE sessions")
    copied = f"fakeredis://apps-{url.partition(':')[0].replace('+', '-')}"
    code, said = run("copy", url, copied, "--verify")
    assert (code, "copied 3 sessions (3 created)" in said) == (0, True), said
    with open_place(copied) as place:
        assert sorted(place.app_names()) == ["o'brien; DROP TABLE sessions", "shop", "support"]
    assert run("ls", url) == (0, "")


def test_the_database_of_adk_web_is_copied_by_its_path(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "agents" / "shop" / ".adk" / "session.db"
    path.parent.mkdir(parents=True)
    filled(SqliteSessionService(str(path)), users=[0], lengths=SHORT, times=IN_ORDER)
    code, said = run("copy", f"sqlite:///{path}", "fakeredis://of-adk-web", "--verify")
    assert (code, "copied 1 sessions (1 created)" in said) == (0, True), said


def test_a_database_of_something_else_is_named_and_not_changed(url: str, run: Run, tmp_path: Path) -> None:
    path = file_of(url)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (a)")
    for before in (b"no database" * 100, (tmp_path / "other.db").read_bytes()):
        path.write_bytes(before)
        for command in (["copy", url, "fakeredis://x"], ["export", url, str(tmp_path / "f")], ["ls", url, "shop"]):
            code, said = run(*command)
            assert code in (2, 3) and "Error" in said
            assert str(path) in said or "file is not a database" in said, said
            assert path.read_bytes() == before


@pytest.mark.parametrize("apps", [[], ["--app", "shop"]])
def test_a_mistyped_place_is_named(run: Run, tmp_path: Path, apps: list[str]) -> None:
    copy = ["copy", "fakeredis://typo?prefix=tpyo", "fakeredis://x"]
    for command in (copy, ["export", "fakeredis://typo", str(tmp_path / "f")]):
        code, said = run(*command, *apps)
        assert code == 2
        assert command[1] in said
        assert ("'shop'" in said) == bool(apps)
    assert not (tmp_path / "f").exists()


def test_a_mistyped_user_is_named(run: Run, source: StorePlace) -> None:
    code, said = run("copy", "fakeredis://source-of-adk-databases", "fakeredis://x", "--user", "u:0", "--user", "uu")
    assert code == 2
    assert "There is no user 'uu' in fakeredis://source-of-adk-databases" in said


def test_a_copy_of_a_place_onto_itself_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SAME", "fakeredis://same")
    for other in ("env:THE_SAME", "fakeredis://same/0?ttl=3", "fakeredis://same?prefix=adk"):
        code, said = run("copy", "fakeredis://same", other)
        assert (code, "the same place" in said) == (2, True)


def test_a_mistyped_database_of_adks_mongodb_service_is_named_and_not_made(
    mongod_server: MongoServer, run: Run
) -> None:
    code, said = run("copy", f"adk-{mongod_server.url}tpyo", "fakeredis://x", "--app", APP)
    assert code == 2
    assert (
        "'tpyo'" if find_spec("google.adk.integrations.mongodb") else "This version of google-adk cannot open"
    ) in said
    assert "tpyo" not in [one["name"] for one in mongod_server.command("listDatabases")["databases"]]


def test_shared_state_leaves_no_other_rows(url: str, source: StorePlace) -> None:
    with open_place(url) as place:
        assert outcomes(copy_items(source.items(), place)) == {"created": 2, "state": 3}
        assert outcomes(verify_items(source.items(), place)) == {"the same": 5}
    assert "adk-sessions" not in everything(url)


def test_what_a_killed_copy_left_is_removed_and_a_real_session_is_not(url: str) -> None:
    with open_place(url) as place:
        assert isinstance(place, ServicePlace)
        make = place.service.create_session
        for user, state in (("killed", None), ("real", {"own": 1})):
            names: dict[str, Any] = {"app_name": APP, "user_id": user, "session_id": "adk-sessions"}
            place._portal.call(lambda names=names, state=state: make(**names, state=state))
        place.write_shared_state(APP, "killed", {"x": 1})
        with pytest.raises(SessionConflictError, match="'adk-sessions' of user 'real'"):
            place.write_shared_state(APP, "real", {"x": 1})
        assert [key.user_id for key in place.keys(APP)] == ["real"]
    assert '{"x": 1}' in everything(url)  # google-adk 2.0 cannot read the state of a user without sessions


def test_app_state_needs_a_user_in_a_database_that_keeps_every_user(url: str) -> None:
    with RedisSessionStore("fakeredis://app-without-users") as store, open_place(url) as place:
        store.create_session(app_name=APP, user_id="u", session_id="s", state={"app:x": 1})
        store.delete_session(app_name=APP, user_id="u", session_id="s")
        (result,) = copy_items(StorePlace(store).items(), place)
        if url.startswith("sqlite:"):
            assert result.outcome is Outcome.STATE
            assert '{"x": 1}' in everything(url)
        else:
            assert result.outcome is Outcome.FAILED
            assert "DatabaseSessionService cannot set the app's state without a user" in result.problems[0]


@pytest.mark.parametrize("destination", ["memory://", "sqlite"])
def test_one_users_copy_leaves_the_apps_state_as_it_is(destination: str, source: StorePlace, sqlite_url: str) -> None:
    with open_place(destination if destination == "memory://" else sqlite_url) as place:
        place.write_shared_state(APP, None, {"x": "mine", "z": "mine"})
        assert isinstance(place, ServicePlace)
        assert outcomes(copy_items(source.items([APP], ["u:1"]), place)) == {"created": 1, "state": 1}
        found = place._get(next(place.keys(APP)))
        assert found is not None
        # Its events set app:x and app:y. The first is there; nothing can remove the second.
        expected = {"app:x": "mine", "app:z": "mine", "app:y": 3, "user:x": 3, "own": 3}
        assert found.state == expected
        assert outcomes(verify_items(source.items([APP], ["u:1"]), place)) == {"the same": 2}


def test_a_service_without_a_list_of_apps_names_the_option() -> None:
    with open_place("memory://") as place, pytest.raises(ConfigurationError, match=r"InMemorySessionService.*--app"):
        list(place.app_names())
    assert asyncio.run(InMemorySessionService().list_sessions(app_name=APP)).sessions == []
