"""The app's state on a Redis Cluster: recorded with the event, applied once, never lost."""

from __future__ import annotations

from typing import Any

import pytest

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.contract.samples import APP, USER, an_event
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.stores.redis import split_app_state
from adk_extra_sessions.stores.redis.keys import SessionKeys

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture(params=["rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """A Redis Cluster only."""
    from conftest import BACKENDS

    if request.param not in BACKENDS:
        pytest.skip("ADK_EXTRA_SESSIONS_SERVERS=1 tests real servers")
    return str(request.param)


def held(store: RedisSessionStore) -> list[Any]:
    key = f"{store.prefix}:{{{APP}/{USER}}}:s:one"
    return [name for name in store.client.hgetall(key) if name.startswith(b"p:")]


def app_state(store: RedisSessionStore) -> dict[str, Any]:
    other = store.create_session(app_name=APP, user_id="other")
    return other.state


def test_a_crash_after_the_event_does_not_lose_app_state(store: RedisSessionStore, monkeypatch: Any) -> None:
    session = store.create_session(**NAMES, state={"app:old": 1})
    with monkeypatch.context() as patch:
        patch.setattr(split_app_state.SplitAppState, "after_append", _lost)
        with pytest.raises(ConnectionError):
            store.append_event(session, an_event(delta={"app:new": 2, "app:later": 2, "own": 2}))
    assert len(held(store)) == 1
    assert store.get_session(**NAMES).state == {"app:old": 1, "app:new": 2, "app:later": 2, "own": 2}
    assert app_state(store) == {"app:old": 1}
    later = store.create_session(app_name=APP, user_id=USER)
    store.append_event(later, an_event(delta={"app:later": 3}))
    monkeypatch.setattr(split_app_state, "RESCUE_AFTER", -1.0)
    assert store.get_session(**NAMES).state["app:later"] == 3
    assert held(store) == []
    assert app_state(store) == {"app:old": 1, "app:new": 2, "app:later": 3}


def test_trying_again_applies_app_state_once(store: RedisSessionStore, monkeypatch: Any) -> None:
    session = store.create_session(**NAMES)
    event = an_event(delta={"app:a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(split_app_state.SplitAppState, "after_append", _lost)
        with pytest.raises(ConnectionError):
            store.append_event(session, event)
    assert session.events == []
    store.append_event(session, event)
    assert app_state(store) == {"app:a": 1}
    assert held(store) == []
    other = store.create_session(app_name=APP, user_id=USER)
    store.append_event(other, an_event(delta={"app:a": 2}))
    store.append_event(session, event)
    assert app_state(store) == {"app:a": 2}


def test_deleting_a_session_keeps_what_it_held(store: RedisSessionStore, monkeypatch: Any) -> None:
    session = store.create_session(**NAMES)
    with monkeypatch.context() as patch:
        patch.setattr(split_app_state.SplitAppState, "after_append", _lost)
        with pytest.raises(ConnectionError):
            store.append_event(session, an_event(delta={"app:a": 1}))
    store.delete_session(**NAMES)
    assert store.get_session(**NAMES) is None
    assert app_state(store) == {"app:a": 1}


def test_a_slow_writer_does_not_undo_what_came_after_its_rescue(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    split = store._split
    assert split is not None
    pending = split_app_state.PendingDelta("slow", 1.0, {"a": '"slow"'})
    places = SessionKeys.of(store.prefix, SessionKey(APP, USER, "one"))
    split._apply(places, pending, rescue=True)
    store.append_event(session, an_event(delta={"app:a": "later"}))
    split._apply(places, pending, rescue=False)
    assert app_state(store) == {"app:a": "later"}


def _lost(*arguments: Any) -> None:
    raise ConnectionError("lost")
