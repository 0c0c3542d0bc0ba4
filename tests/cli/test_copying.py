"""Copying between places, by `copy`, `export` and `import`, as people and programs use them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.conversations import SESSIONS

from adk_extra_sessions import RedisSessionStore, SessionStore
from adk_extra_sessions.cli import progress
from adk_extra_sessions.testing.contract.samples import APP, an_event

Run = Callable[..., "object"]


def test_copy_verify_and_dry_run(run: Run, url: str, other_url: str, filled: SessionStore) -> None:
    ran = run("copy", url, other_url, "--dry-run")
    assert (ran.code, ran.out) == (0, "")
    assert f"would copy {SESSIONS} sessions ({SESSIONS} created) and 1,026 events" in ran.err
    assert "No sessions found" in run("ls", other_url).err
    ran = run("copy", url, other_url, "--verify")
    assert ran.code == 0
    assert f"copied {SESSIONS} sessions ({SESSIONS} created) and 1,026 events" in ran.err
    assert f"compared {SESSIONS} sessions ({SESSIONS} the same)" in ran.err
    ran = run("copy", url, other_url)
    assert f"copied {SESSIONS} sessions ({SESSIONS} the same) and 0 events" in ran.err


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_copy_to_the_same_place_is_refused(
    run: Run, url: str, filled: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", url)
    for source, destination in [(url, f"{url}&ttl=3"), ("env:PLACE", url), (url, "env:PLACE")]:
        ran = run("copy", source, destination)
        assert (ran.code, ran.out) == (2, "")
        assert "SRC and DST are the same place." in ran.err


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_a_dry_run_creates_no_database(run: Run, url: str, filled: SessionStore, tmp_path: Path) -> None:
    path, database = str(tmp_path / "all.jsonl"), tmp_path / "new.db"
    assert run("export", url, path).code == 0
    for command in (["copy", url], ["import", path]):
        ran = run(*command, f"sqlite:///{database}", "--dry-run")
        assert (ran.code, database.exists()) == (2, False)
        assert str(database) in ran.err


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("seconds", [0, 3600])
def test_progress_is_shown_every_few_seconds(
    run: Run, url: str, other_url: str, filled: SessionStore, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(progress, "EVERY", seconds)
    ran = run("copy", url, other_url)
    assert (f"copied: 1 of {SESSIONS}, " in ran.err) == (seconds == 0)


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_a_user_who_has_only_state_is_copied(run: Run, url: str, other_url: str, store: SessionStore) -> None:
    session = store.create_session(app_name=APP, user_id="ada", session_id="one", state={"user:plan": "gold"})
    store.delete_session(app_name=APP, user_id="ada", session_id=session.id)
    assert run("copy", url, other_url, "--app", APP, "--user", "ada").code == 0
    with RedisSessionStore(other_url) as other:
        assert other.get_user_state(app_name=APP, user_id="ada") == {"plan": "gold"}


def test_copy_tells_what_differs(run: Run, url: str, other_url: str, filled: SessionStore) -> None:
    run("copy", url, other_url)
    names = {"app_name": APP, "user_id": "u:1", "session_id": "short"}
    live = filled.get_session(**names)
    assert live is not None
    filled.append_event(live, an_event(delta={"k0": "changed"}))
    ran = run("copy", url, other_url, "--dry-run", "--verify")
    assert (ran.code, "would copy" in ran.err) == (1, False)
    assert "Session 'short' of user 'u:1' in app 'app': state key 'k0' differs" in ran.err
    ran = run("copy", other_url, url)
    assert ran.code == 1
    assert (
        "A different session 'short' of user 'u:1' already exists: it has more events than the source, which has 3."
        in ran.err
    )
    assert run("copy", url, other_url, "--verify").code == 0


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_copy_shows_twenty_problems_and_counts_the_others(
    run: Run, url: str, other_url: str, store: SessionStore
) -> None:
    live = [store.create_session(app_name=APP, user_id="ada", session_id=f"s{number}") for number in range(25)]
    run("copy", url, other_url)
    for session in live:
        store.append_event(session, an_event(delta={"a": 1, "b": 2, "c": 3}))
    ran = run("copy", url, other_url, "--dry-run", "--verify")
    assert ran.code == 1
    assert ran.err.count("state key 'c' is missing; and 2 more\n") == 20
    assert "5 more problems are not shown." in ran.err and "compared 25 sessions (25 different)" in ran.err


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_export_and_import(run: Run, url: str, other_url: str, filled: SessionStore, tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    ran = run("export", url, path)
    assert (ran.code, ran.out) == (0, "")
    assert f"exported {SESSIONS} sessions" in ran.err
    assert f"would import {SESSIONS} sessions ({SESSIONS} created)" in run("import", path, other_url, "--dry-run").err
    assert f"imported {SESSIONS} sessions ({SESSIONS} created)" in run("import", path, other_url).err
    assert run("import", path, other_url, "--verify").code == 0
    assert run("copy", url, other_url, "--dry-run", "--verify").code == 0
    assert f"imported {SESSIONS} sessions ({SESSIONS} the same)" in run("import", path, other_url).err
