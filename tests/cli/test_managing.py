"""Commands that find, delete and erase many sessions."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from adk_extra_sessions import SessionStore
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, an_event

Run = Callable[..., Any]

DAY = 86400


@pytest.fixture
def filled(store: SessionStore) -> SessionStore:
    """Two users with five sessions each, 0, 10, 20, 30 and 40 days old."""
    for user_id in ("ada", "bob"):
        for number in range(5):
            session = store.create_session(
                app_name=APP,
                user_id=user_id,
                session_id=f"{user_id}{number}",
                state={"user:kept": 1},
                display_name=f"Name {number}" if number % 2 else None,
                labels={"even": str(number % 2 == 0)},
            )
            store.append_event(session, an_event(at=time.time() - number * 10 * DAY - 60))
    return store


def left(store: SessionStore) -> list[str]:
    return sorted(one.id for one in store.iter_sessions(app_name=APP))


def test_ls_shows_names_and_labels(run: Run, url: str, filled: SessionStore) -> None:
    ran = run("ls", url, APP, "ada", "--limit", "2")
    head, *rows = ran.out.splitlines()
    assert head.split() == ["app", "name", "user", "id", "session", "id", "last", "update", "display", "name", "labels"]
    assert [row.split()[2] for row in rows] == ["ada0", "ada1"]
    assert rows[1].endswith("Name 1        even=False")
    assert "Listed the newest 2 of 5 sessions" in ran.err
    ran = run("ls", url, APP, "--label", "even=False", "--json")
    found = json.loads(ran.out)
    assert [one["session_id"][3:] for one in found] == ["1", "1", "3", "3"]
    assert found[0]["display_name"] == "Name 1" and found[0]["labels"] == {"even": "False"}
    assert [
        one["session_id"] for one in json.loads(run("ls", url, APP, "bob", "--label", "even=True", "--json").out)
    ] == [
        "bob0",
        "bob2",
        "bob4",
    ]
    for number in range(5):
        filled.update_session(app_name=APP, user_id="ada", session_id=f"ada{number}", display_name=None, labels=None)
    assert "labels" not in run("ls", url, APP, "ada").out


def test_show_shows_details(run: Run, url: str, filled: SessionStore) -> None:
    filled.update_session(
        app_name=APP, user_id="ada", session_id="ada1", display_name="a\x1b[31m\n[b]:smile:", ttl="1h"
    )
    said = run("show", url, APP, "ada", "ada1").out
    assert "\na\ufffd[31m\ufffd[b]:smile:\nlabels even=False\ncreated " in said and ", expires " in said
    assert "  a\ufffd[31m\ufffd[b]:smile:  " in run("ls", url, APP, "ada").out
    assert json.loads(run("show", url, APP, "ada", "ada1", "--json").out)["labels"] == {"even": "False"}


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (["--older-than", "25d"], ["ada3", "ada4", "bob3", "bob4"]),
        (["--older-than", "25d", "--user", "ada"], ["ada3", "ada4"]),
        (["--keep-last", "4", "--app", APP], ["ada4", "bob4"]),
        (["--label", "even=True", "--older-than", "15d", "--keep-last", "2"], ["ada4", "bob4"]),
        (["--older-than", "1y", "--app", "other"], None),
        (["--older-than", "90d"], []),
    ],
    ids=str,
)
def test_rm_deletes_many(run: Run, url: str, filled: SessionStore, options: list[str], gone: list[str] | None) -> None:
    before = left(filled)
    dry = run("rm", url, *options, "--dry-run")
    assert left(filled) == before
    if gone is None:
        assert dry.code == 2 and "--older-than" in dry.err
        return
    assert (dry.code, dry.out) == (0, "") and f"Would delete {len(gone)} of " in dry.err
    ran = run("rm", url, *options, "--yes")
    assert ran.code == 0
    assert (f"Deleted {len(gone)} sessions" if gone else "There is nothing to delete.") in ran.err
    assert left(filled) == sorted(set(before) - set(gone))


def test_rm_says_how_many_stay_since_they_were_written_to(
    run: Run, url: str, filled: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = type(filled.backend).delete_unchanged  # type: ignore[attr-defined]

    def late(self: object, key: SessionKey, revision: int) -> bool:
        if key.session_id == "ada4":
            session = filled.get_session(app_name=APP, user_id="ada", session_id="ada4")
            assert session is not None
            filled.append_event(session, an_event(at=time.time()))
        return bool(delete(self, key, revision))

    monkeypatch.setattr(type(filled.backend), "delete_unchanged", late)
    ran = run("rm", url, "--older-than", "25d", "--yes")
    assert ran.code == 0
    assert "Deleted 3 sessions" in ran.err and "1 were written to meanwhile and stay." in ran.err
    assert "ada4" in left(filled)


def test_rm_asks_before_it_deletes_many(
    run: Run, url: str, filled: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = left(filled)
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "y" if len(asked) > 1 else "n"

    monkeypatch.setattr("click.termui.visible_prompt_func", answer)
    ran = run("rm", url, "--older-than", "25d")
    assert ran.code == 1 and "Nothing was deleted." in ran.err and left(filled) == before
    assert "4 of 10 sessions" in ran.err + asked[0]
    assert run("rm", url, "--older-than", "25d").code == 0
    assert len(left(filled)) == 6


def test_rm_deletes_as_many_as_it_asked_about(
    run: Run, url: str, filled: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = filled.create_session(app_name=APP, user_id="ada", session_id="about to be old")
    filled.append_event(live, an_event(at=time.time() - 25 * DAY + 1))

    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        time.sleep(1.2)
        return "y"

    monkeypatch.setattr("click.termui.visible_prompt_func", answer)
    ran = run("rm", url, "--older-than", "25d")
    (asked,) = re.findall(r"Delete (\d+) of 11 sessions\?", ran.err + prompts[0])
    assert f"Deleted {asked} sessions" in ran.err and len(left(filled)) == 11 - int(asked)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [APP],
        [APP, "ada"],
        [APP, "ada", "ada1", "more"],
        [APP, "ada", "ada1", "--older-than", "1d"],
        [APP, "ada", "ada1", "--dry-run"],
        ["--user", "ada"],
        ["--older-than", "soon"],
        ["--keep-last", "-1"],
        ["--label", "even"],
        ["--label", "=x"],
        ["--label", "a=1", "--label", "a=2"],
    ],
    ids=str,
)
def test_rm_refuses_what_is_not_clear(run: Run, url: str, filled: SessionStore, wrong: list[str]) -> None:
    before = left(filled)
    assert run("rm", url, *wrong, "--yes").code == 2
    assert left(filled) == before


def test_erase_prints_a_receipt(run: Run, url: str, filled: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    ran = run("erase", url, APP, "ada")
    assert (ran.code, ran.out) == (1, "") and "Nothing was erased." in ran.err and len(left(filled)) == 10
    ran = run("erase", url, APP, "ada", "--yes")
    assert ran.code == 0
    assert "Erased user 'ada' in app 'app'." in ran.out and "sessions 5\nevents   5\n" in ran.out
    assert left(filled) == [f"bob{number}" for number in range(5)]
    assert filled.get_user_state(app_name=APP, user_id="ada") == {}
    receipt = json.loads(run("erase", url, APP, "--all-users", "--yes", "--json").out)
    assert (receipt["user_id"], receipt["sessions"], receipt["events"]) == (None, 5, 5)
    assert run("ls", url).err.strip() == "No sessions found."


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("command", ["rm", "erase"])
def test_questions_are_on_standard_error_and_have_no_control_characters(
    run: Run, url: str, store: SessionStore, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    store.create_session(app_name=APP, user_id="ada\x1b[31m", session_id="one")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ran = run(command, url, APP, "ada\x1b[31m", *(["one"] if command == "rm" else []))
    assert (ran.code, ran.out.strip(), left(store)) == (1, "", ["one"])
    assert r"ada\x1b[31m" in ran.err.partition("?")[0] and "\x1b" not in ran.err


@pytest.mark.parametrize("wrong", [[], [APP], [APP, "ada", "--all-users"]], ids=str)
def test_erase_refuses_what_is_not_clear(run: Run, url: str, filled: SessionStore, wrong: list[str]) -> None:
    assert run("erase", url, *wrong, "--yes").code == 2
    assert len(left(filled)) == 10


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize(
    "command",
    [["rm", "--older-than", "1d", "--yes"], ["erase", APP, "ada", "--yes"], ["ls", APP, "--label", "a=b"]],
    ids=str,
)
def test_adks_services_cannot(run: Run, sqlite_url: str, url: str, filled: SessionStore, command: list[str]) -> None:
    run("copy", url, sqlite_url)
    ran = run(command[0], sqlite_url, *command[1:])
    assert ran.code == 2 and "only in this package's stores" in ran.err
