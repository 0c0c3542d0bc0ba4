"""The app's and the user's state on MongoDB: limits, crashes between two writes, late writers."""

from __future__ import annotations

from typing import Any

import pytest
from histories import NAMES
from pymongo.errors import WriteError

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.contract.samples import APP, USER, an_event
from adk_extra_sessions.errors import EventTooLargeError
from adk_extra_sessions.stores.mongodb import shared_state


@pytest.mark.parametrize("scope", ["app", "user"])
def test_shared_state_over_the_limit_is_refused(store: MongoSessionStore, scope: str) -> None:
    session = store.create_session(**NAMES)
    for key in "ab":
        store.append_event(session, an_event(delta={f"{scope}:{key}": "x" * (7 << 20)}))
    with pytest.raises(EventTooLargeError, match=scope):
        store.append_event(session, an_event(delta={f"{scope}:c": "x" * (7 << 20), "own": 1}))
    with pytest.raises(EventTooLargeError, match=scope):
        store.create_session(app_name=APP, user_id=USER, session_id="two", state={f"{scope}:c": "x" * (7 << 20)})
    assert store.get_session(**NAMES) == session
    assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["one"]
    store.append_event(session, an_event(delta={f"{scope}:d": 1}))


def test_a_crash_after_the_event_does_not_lose_shared_state(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store.create_session(**NAMES, state={"app:old": 1})
    other = store.create_session(app_name=APP, user_id=USER)

    def broken(*arguments: Any) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(store._shared), "apply", broken)
        with pytest.raises(ConnectionError):
            store.append_event(session, an_event(delta={"app:new": 2, "user:new": 2, "app:later": 2}))
    # Seen by readers of the session at once, by others when it has been rescued.
    assert store.get_session(**NAMES).state["app:new"] == 2
    store.append_event(other, an_event(delta={"app:later": 3}))
    monkeypatch.setattr(shared_state, "RESCUE_AFTER", -1.0)
    assert store.get_session(**NAMES).state == {"app:old": 1, "app:new": 2, "app:later": 3, "user:new": 2}
    assert store._sessions.find_one({"session_id": "one"})["pending"] == []
    found = store.get_session(app_name=APP, user_id=USER, session_id=other.id)
    assert found is not None and found.state == {"app:old": 1, "app:new": 2, "app:later": 3, "user:new": 2}


def test_trying_again_after_a_crash_applies_shared_state_once(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store.create_session(**NAMES)
    event = an_event(delta={"a": 1, "app:a": 1, "user:a": 1, "temp:a": 1})

    def broken(*arguments: Any) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(store._shared), "apply", broken)
        with pytest.raises(ConnectionError):
            store.append_event(session, event)
    assert session.events == [] and session.state == {}
    store.append_event(session, event)
    assert session.state == {"a": 1, "app:a": 1, "user:a": 1, "temp:a": 1}
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 1}
    assert len(store.get_session(**NAMES).events) == 1
    assert store._sessions.find_one({"session_id": "one"})["pending"] == []


def test_a_slow_writer_does_not_undo_what_came_after_its_rescue(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    recorded: list[Any] = []
    shared = store._shared

    class Slow(type(shared)):  # type: ignore[misc]
        def apply(self, deltas: Any, term: object = None) -> bool:
            recorded.extend(deltas)
            return True

    object.__setattr__(store._appending.quick, "shared", Slow(shared.states, shared.sessions))
    store.append_event(session, an_event(delta={"user:a": "slow"}))
    object.__setattr__(store._appending.quick, "shared", shared)
    recorded[0].delta["time"] -= 1000
    shared.rescue(recorded[0].key, [recorded[0].delta])
    store.append_event(session, an_event(delta={"user:a": "later"}))
    shared.apply(recorded)
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": "later"}


def test_a_retry_does_not_undo_newer_shared_state(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    session = store.create_session(**NAMES)
    other = store.create_session(app_name=APP, user_id=USER)
    event = an_event(delta={"app:x": 1})

    def broken(*arguments: Any, **named: Any) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(store._shared), "_strike_out", broken)
        with pytest.raises(ConnectionError):
            store.append_event(session, event)
    store.append_event(other, an_event(delta={"app:x": 2}))
    store.append_event(session, event)
    assert store.get_session(**NAMES).state == {"app:x": 2}
    assert store._sessions.find_one({"session_id": "one"})["pending"] == []


def test_a_record_that_cannot_be_applied_stops_no_reader(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store.create_session(**NAMES)
    pending = {"id": "p", "time": 1.0, "app": {"a": 1}, "user": {}}
    store._sessions.update_one({}, {"$push": {"pending": pending}})

    def full(*arguments: Any) -> Any:
        raise WriteError("too large", 10334)

    monkeypatch.setattr(type(store._shared), "_rescue_into", full)
    assert store.get_session(**NAMES).state == {"app:a": 1}
    assert len(store.list_sessions(app_name=APP).sessions) == 1
    store.append_event(session, an_event())
