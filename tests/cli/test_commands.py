"""The commands, as people and programs use them, on every backend."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from conftest import FAKES
from google.adk.events import Event, EventActions
from google.adk.sessions import InMemorySessionService, Session
from google.genai import types
from support.conversations import SESSIONS, fill_store

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, an_event

Run = Callable[..., "object"]


def test_ls(run: Run, url: str, store: SessionStore) -> None:
    for number, name in enumerate(["old", "newest", "middle"]):
        live = store.create_session(app_name=APP, user_id=f"u{number % 2}", session_id=name)
        store.append_event(live, an_event(at={"old": 1e9, "middle": 1.1e9, "newest": 1.2e9}[name]))
    ran = run("ls", url)
    assert (ran.code, ran.out.split()[-5:-2]) == (0, [APP, "2", "3"])
    ran = run("ls", url, APP)
    names = [line.split()[2] for line in ran.out.splitlines()[1:]]
    assert names == ["newest", "middle", "old"]
    ran = run("ls", url, APP, "--limit", "1")
    assert "newest" in ran.out and "middle" not in ran.out
    assert "newest 1 of 3 sessions" in ran.err
    ran = run("ls", url, APP, "u0", "--json")
    assert [one["session_id"] for one in json.loads(ran.out)] == ["middle", "old"]
    assert run("ls", url, APP, "u0", "--json", "--limit", "0").out == ran.out
    ran = run("ls", url, APP, "--users", "--json")
    assert json.loads(ran.out)[0] == {"app_name": APP, "user_id": "u1", "sessions": 1, "last_update_time": 1.2e9}
    assert run("ls", url, "no such app").err.strip() == "No sessions found."


def a_conversation(store: SessionStore) -> Session:
    live = store.create_session(app_name=APP, user_id="ada", session_id="one", state={"plan": "gold", "user:n": 1})
    call = types.FunctionCall(id="c1", name="find", args={"what": "a [bold]bicycle[/bold]", "n": 2})
    answer = types.FunctionResponse(id="c1", name="find", response={"found": ["x"]})
    data = types.Blob(mime_type="image/png", data=b"12345")
    said = [
        ("user", [types.Part(text="Hello\x1b[31m\x9b\u202e\u2066 red\nsecond line")], {}),
        ("shop", [types.Part(text="hmm", thought=True), types.Part(function_call=call)], {}),
        ("shop", [types.Part(function_response=answer)], {"app:orders": 7, "turn": None}),
        ("shop", [types.Part(text="Here."), types.Part(inline_data=data)], {}),
    ]
    for author, parts, delta in said:
        content = types.Content(role="user", parts=parts)
        event = Event(author=author, timestamp=1e9, content=content, actions=EventActions(state_delta=delta))
        store.append_event(live, event)
    event = Event(author="shop", error_code="QUOTA", error_message="too much", timestamp=1e9)
    event.actions.transfer_to_agent = "clerk"
    store.append_event(live, event)
    return live


def test_show(run: Run, url: str, store: SessionStore) -> None:
    a_conversation(store)
    ran = run("show", url, APP, "ada", "one")
    assert ran.code == 0
    for text in (
        "app / ada / one",
        "5 events",
        "  Hello\ufffd[31m\ufffd\ufffd\ufffd red\n  second line",
        "  (thinks) hmm",
        '  → find(what="a [bold]bicycle[/bold]", n=2)',
        '  ← find -> {"found": ["x"]}',
        "  state: app:orders = 7",
        "  state: turn = null",
        "  file: image/png, 5 bytes",
        "  error: QUOTA too much",
        "  transfers to clerk",
        '  plan = "gold"',
        "  user:n = 1",
    ):
        assert text in ran.out, text
    assert "\x1b" not in ran.out
    last = run("show", url, APP, "ada", "one", "--last", "1").out
    assert "QUOTA" in last and "Hello" not in last


def test_a_time_that_no_calendar_has_is_shown_as_a_number(run: Run, url: str, store: SessionStore) -> None:
    live = store.create_session(app_name=APP, user_id="ada", session_id="one")
    store.append_event(live, an_event(at=1e14))
    for command in (["ls", url, APP], ["show", url, APP, "ada", "one"]):
        ran = run(*command)
        assert (ran.code, "100000000000000.0" in ran.out) == (0, True)


def test_no_control_character_of_what_is_stored_reaches_the_terminal(
    run: Run, url: str, other_url: str, store: SessionStore
) -> None:
    bad = "\x1b[31m"
    names = {name: f"{name}{bad}" for name in ("app_name", "user_id", "session_id")}
    live = store.create_session(**names, state={f"key{bad}": 1})
    parts = [types.Part(code_execution_result=types.CodeExecutionResult(outcome=types.Outcome.OUTCOME_OK))]
    store.append_event(live, Event(author=f"shop{bad}", content=types.Content(parts=parts), timestamp=1e9))
    shown = [run(*command) for command in (["ls", url], ["ls", url, names["app_name"]], ["show", url, *names.values()])]
    assert "key\ufffd[31m = 1" in shown[2].out and "shop\ufffd[31m" in shown[2].out
    run("copy", url, other_url)
    store.append_event(live, an_event(id=f"id{bad}"))
    with RedisSessionStore(other_url) as other:
        copied = other.get_session(**names)
        assert copied is not None
        other.append_event(copied, an_event(id="another"))
    shown.append(run("copy", url, other_url, "--dry-run", "--verify"))
    assert "event 1 (id\ufffd[31m) differs" in shown[3].err
    assert [ran.code for ran in shown] == [0, 0, 0, 1]
    assert "\x1b" not in "".join(ran.out + ran.err for ran in shown)


def test_show_json_is_the_session(run: Run, url: str, store: SessionStore) -> None:
    live = a_conversation(store)
    shown = Session.model_validate_json(run("show", url, APP, "ada", "one", "--json").out)
    assert shown.model_dump() == live.model_dump()


def test_show_writes_what_has_no_json_form(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    service = InMemorySessionService()
    state = {"large": float("inf"), "thing": threading.Lock}
    live = asyncio.run(service.create_session(app_name=APP, user_id="ada", session_id="one", state=state))
    asyncio.run(service.append_event(live, an_event(delta={"other": threading.Lock})))
    monkeypatch.setitem(sys.modules, "things", SimpleNamespace(service=lambda: service))
    shown = run("show", "things:service", APP, "ada", "one").out
    assert "  large = Infinity\n" in shown and "  thing = " in shown
    found = json.loads(run("show", "things:service", APP, "ada", "one", "--json").out)
    assert found["state"]["thing"] == str(threading.Lock)
    assert found["events"][0]["actions"]["state_delta"] == {"other": str(threading.Lock)}


def test_rm_asks(run: Run, url: str, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    a_conversation(store)
    names = (url, APP, "ada", "one")
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    ran = run("rm", *names)
    assert (ran.code, ran.out) == (1, "")
    assert "Nothing was deleted." in ran.err
    assert run("show", *names).code == 0
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "y")
    assert run("rm", *names).code == 0
    assert run("show", *names).code == 1
    a_conversation(store)
    assert run("rm", *names, "--yes").code == 0
    assert run("rm", *names, "--yes").code == 1
    assert store.get_user_state(app_name=APP, user_id="ada") == {"n": 1}


@pytest.mark.parametrize("backend", ["fakeredis"])  # the contract of deletions is checked on all
def test_rm_deletes_what_is_left_of_a_session(run: Run, url: str, store: RedisSessionStore) -> None:
    a_conversation(store)
    keys = SessionKeys.of(store.prefix, SessionKey(APP, "ada", "one"))
    store.client.delete(keys.session)
    ran = run("rm", url, APP, "ada", "one", "--yes")
    assert (ran.code, store.client.exists(keys.events)) == (1, 0)
    assert "Anything left of it has been deleted." in ran.err


@pytest.mark.parametrize("backend", ["fakeredis"])  # the contract of deletions is checked on all
def test_rm_deletes_a_session_that_cannot_be_read(
    run: Run, url: str, store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_conversation(store)
    keys = SessionKeys.of(store.prefix, SessionKey(APP, "ada", "one"))
    store.client.hset(keys.session, "revision", "garbage")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ran = run("rm", url, APP, "ada", "one")
    assert (ran.code, store.client.exists(keys.session, keys.events)) == (0, 0)
    assert "cannot be read. Delete it?" in ran.err and "garbage" not in ran.err


def test_doctor(run: Run, url: str, filled: SessionStore, backend: str) -> None:
    ran = run("doctor", url)
    assert f"{SESSIONS} sessions with 1,026 events can be read" in ran.out
    assert "server: answers in" in ran.out
    if backend not in FAKES:
        assert ran.code == 0, ran.out
        assert "version: " in ran.out
    found = json.loads(run("doctor", url, "--json", "--quick").out)
    assert {"level", "subject", "text", "remedy"} == set(found[0])
    assert not any(one["subject"] == "records" for one in found)


def test_doctor_names_what_cannot_be_read(run: Run, url: str, store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3, "long": 450})
    damage(store, "short")
    ran = run("doctor", url)
    assert ran.code == 1
    assert "Session 'short' of user 'u:0' in app 'app'" in ran.out
    assert "adk-sessions rm URL app u:0 short" in ran.out
    assert "1 sessions with 450 events can be read" in ran.out


def test_a_name_reaches_the_terminal_from_doctor_without_control_characters(
    run: Run, url: str, store: SessionStore
) -> None:
    fill_store(store, users=[0], lengths={"short\x1b[31m": 3})
    damage(store, "short\x1b[31m")
    ran = run("doctor", url)
    assert (ran.code, "\x1b" in ran.out + ran.err) == (1, False)
    assert "adk-sessions rm URL app u:0 'short\ufffd[31m'" in ran.out


def test_show_names_a_session_that_cannot_be_read(run: Run, url: str, store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    damage(store, "short")
    ran = run("show", url, APP, "u:0", "short")
    assert (ran.code, "garbage" in ran.out + ran.err) == (1, False)
    assert ran.err.startswith("Error: Session 'short' of user 'u:0' in app 'app'")


def test_a_session_that_cannot_be_read_stops_no_copy(run: Run, url: str, other_url: str, store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3, "long": 450})
    damage(store, "short")
    ran = run("copy", url, other_url)
    assert ran.code == 1
    assert "(1 created, 1 failed) and 450 events" in ran.err
    assert ran.err.count("Session 'short' of user 'u:0' in app 'app'") == 1
    assert run("rm", url, APP, "u:0", "short", "--yes").code == 0
    assert run("copy", url, other_url, "--verify").code == 0


def damage(store: SessionStore, session_id: str) -> None:
    if isinstance(store, RedisSessionStore):
        keys = SessionKeys.of(store.prefix, SessionKey(APP, "u:0", session_id))
        store.client.lset(keys.events, 3, "{}garbage")
    elif isinstance(store, MongoSessionStore):
        sessions = store.client[store.db_name]["sessions"]
        sessions.update_one({"session_id": session_id}, {"$set": {"tail.1.body": "{}garbage"}})


@pytest.mark.parametrize("backend", FAKES)  # a server may remove them at any moment
def test_doctor_counts_what_has_expired(run: Run, url: str, make_store: Callable[..., SessionStore]) -> None:
    store = make_store(ttl=0.05)
    if isinstance(store, MongoSessionStore):
        store.ensure_indexes()
        store.client[store.db_name]["sessions"].drop_index("adk_sessions_ttl")  # mongomock removes at once
    if isinstance(store, RedisSessionStore):  # else the index goes with them
        for user in (0, 1):
            make_store().create_session(app_name=APP, user_id=f"u:{user}", session_id="stays")
    fill_store(store, lengths={"short": 3})
    time.sleep(0.1)
    ran = run("doctor", url)
    assert "2 listed sessions have expired" in ran.out
    stay = 2 if isinstance(store, RedisSessionStore) else 0
    assert f"{stay} sessions with 0 events can be read" in ran.out
