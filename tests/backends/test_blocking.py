"""What the blocking stores have beyond ADK's interface: many at once, page by page, threads."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.adk.sessions import Session
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.adk.private import set_storage_marker
from adk_extra_sessions.appends import Append
from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.backends.redis.layout import UserKeys
from adk_extra_sessions.errors import (
    ClosedError,
    CorruptRecordError,
    InputValidationError,
    SessionNotFoundError,
    StaleSessionError,
    StateValueError,
)
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids, texts

NAMES = {"app_name": APP, "user_id": USER}


def found(store: SessionStore, session: Session) -> Session:
    read = store.get_session(app_name=session.app_name, user_id=session.user_id, session_id=session.id)
    assert read is not None
    return read


@pytest.mark.slow
def test_many_events_are_appended_together(store: SessionStore) -> None:
    sessions = [store.create_session(**NAMES) for _ in range(5)]
    appends = [(sessions[number % 5], an_event(str(number), delta={"app:last": number})) for number in range(700)]
    results = store.append_many(appends)
    assert results == [event for _, event in appends]
    for offset, session in enumerate(sessions):
        assert texts(found(store, session)) == texts(session) == [str(number) for number in range(offset, 700, 5)]
    store.append_event(sessions[0], an_event("next"))


def test_each_of_many_appends_has_its_own_outcome(store: SessionStore) -> None:
    good, stale, gone, foreign = [store.create_session(**NAMES) for _ in range(4)]
    store.append_event(found(store, stale), an_event())
    set_storage_marker(foreign, "foreign")
    store.delete_session(**NAMES, session_id=gone.id)
    repeated = store.append_event(good, an_event())
    partial = an_event(partial=True)
    appends = [
        (good, an_event("1")),
        (stale, an_event()),
        (good, an_event(delta={"bad": object()})),
        (gone, an_event()),
        (good, repeated),
        (good, partial),
        (good, an_event("2")),
        (foreign, an_event()),
    ]
    results = store.append_many(appends)
    assert [type(results[at]) for at in (1, 2, 3)] == [StaleSessionError, StateValueError, SessionNotFoundError]
    assert isinstance(results[7], StaleSessionError)
    assert [results[at] for at in (0, 4, 5, 6)] == [appends[at][1] for at in (0, 4, 5, 6)]
    assert texts(found(store, good)) == texts(good) == ["hello", "1", "2"]


def test_what_follows_a_refused_part_is_refused_with_it(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_event(found(store, session), an_event("other"))
    results = store.append_many((session, an_event(str(number))) for number in range(120))
    assert {type(result) for result in results} == {StaleSessionError}
    assert texts(found(store, session)) == ["other"]
    assert session.events == []


def test_nothing_is_stored_after_a_refused_part(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    remove = put_something_foreign_for_user_state(store)
    events = [an_event("first", delta={"user:key": 1}), *(an_event(str(number)) for number in range(60))]
    results = store.append_many((session, event) for event in events)
    assert {type(result) for result in results} == {CorruptRecordError}
    remove()
    assert texts(found(store, session)) == texts(session) == []


def put_something_foreign_for_user_state(store: SessionStore) -> Callable[[], object]:
    """Puts a foreign record in the place of the user's state; returns what removes it."""
    if isinstance(store, RedisSessionStore):
        client, key = store.client, UserKeys.of(store.prefix, APP, USER).state
        client.set(key, "foreign")
        return lambda: client.delete(key)
    assert isinstance(store, MongoSessionStore)
    states, foreign = store.backend.states, {"_id": layout.user_id(APP, USER)}
    states.insert_one({**foreign, "foreign": True})
    return lambda: states.delete_one(foreign)


def test_a_superseded_session_is_named_in_adks_words_with_what_to_do(store: SessionStore) -> None:
    session = store.create_session(**NAMES, session_id="s1")
    foreign = found(store, session)
    set_storage_marker(foreign, "foreign")
    store.append_event(found(store, session), an_event())
    for stale in (session, foreign):
        with pytest.raises(StaleSessionError) as refused:
            store.append_event(stale, an_event())
        assert str(refused.value) == (
            f"Session 's1' of user {USER!r} in app {APP!r} has been modified in storage since it was loaded."
            " Reload it and append the event again. With a Runner, use service.turn() or TurnPlugin."
        )


def test_many_appends_may_be_none(store: SessionStore) -> None:
    assert store.append_many([]) == []


@pytest.mark.parametrize("page_size", [1, 7, 1000])
def test_sessions_come_page_by_page(store: SessionStore, page_size: int) -> None:
    made = set()
    for number in range(30):
        state = {"number": number, "user:of": number % 3, "app:all": True}
        session = store.create_session(app_name=APP, user_id=f"user{number % 3}", state=state)
        store.append_event(session, an_event())
        made.add((session.user_id, session.id))
    everyone = list(store.iter_sessions(app_name=APP, page_size=page_size))
    assert {(one.user_id, one.id) for one in everyone} == made and len(everyone) == 30
    assert all(one.state["user:of"] == one.state["number"] % 3 == int(one.user_id[-1]) for one in everyone[:3])
    assert all(one.events == [] for one in everyone)
    of_one = list(store.iter_sessions(app_name=APP, user_id="user1", page_size=page_size))
    assert sorted(one.state["number"] for one in of_one) == list(range(1, 30, 3))


def test_threads_share_a_store(store: SessionStore) -> None:
    def work(number: int) -> int:
        session = store.create_session(app_name=APP, user_id=f"user{number % 2}")
        for step in range(20):
            store.append_event(session, an_event(delta={f"user:{number}.{step}": step, f"app:{number}": step}))
        return len(found(store, session).events)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [20] * 8
    state = store.get_user_state(app_name=APP, user_id="user0")
    assert len(state) == 80


def test_threads_share_a_live_session(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Append.commit

    def in_its_own_time(self: Append) -> None:
        time.sleep(random.random() * 0.002)
        commit(self)

    monkeypatch.setattr(Append, "commit", in_its_own_time)
    session = store.create_session(**NAMES)
    events = [an_event(str(number)) for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda event: store.append_event(session, event), events))
    assert ids(session) == ids(found(store, session))
    assert sorted(ids(session)) == sorted(event.id for event in events)


def test_wrong_arguments_are_named(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    with pytest.raises(InputValidationError, match="append_event"):
        store.append_event(session, "event")  # type: ignore[arg-type]
    with pytest.raises(InputValidationError, match="config"):
        store.get_session(**NAMES, session_id=session.id, config={"num_recent_events": 1})  # type: ignore[arg-type]
    with pytest.raises(InputValidationError, match="state"):
        store.create_session(**NAMES, state=[("a", 1)])  # type: ignore[arg-type]
    for wrong in ({"page_size": 0}, {"page_size": "10"}, {"user_id": 7}, {"app_name": None}):
        with pytest.raises(InputValidationError, match=next(iter(wrong))):
            store.iter_sessions(**{"app_name": APP, **wrong})  # type: ignore[arg-type]
    with pytest.raises(InputValidationError, match="timestamp"):
        store.append_event(session, an_event(at=float("nan")))
    with pytest.raises(InputValidationError, match="surrogate"):
        store.create_session(app_name="\ud800", user_id=USER)
    with pytest.raises(StateValueError, match="7"):
        store.create_session(**NAMES, state={7: 1})  # type: ignore[dict-item]
    assert found(store, session) == session


def test_the_context_closes_a_store_and_closing_again_does_nothing(store: SessionStore) -> None:
    with store:
        store.ping()
    store.close()


def test_a_closed_store_says_so(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    listed = store.iter_sessions(app_name=APP)
    twin = None if "client" in repr(store) else copy.copy(store)
    store.close()
    operations: dict[str, Callable[[], object]] = {
        "create": lambda: store.create_session(**NAMES),
        "get": lambda: store.get_session(**NAMES, session_id=session.id),
        "list": lambda: store.list_sessions(app_name=APP),
        "iterate": lambda: next(listed),
        "delete": lambda: store.delete_session(**NAMES, session_id=session.id),
        "user state": lambda: store.get_user_state(**NAMES),
        "append": lambda: store.append_event(session, an_event()),
        "ping": store.ping,
    }
    if isinstance(store, MongoSessionStore):
        operations["indexes"] = store.ensure_indexes
    for name, operation in operations.items():
        with pytest.raises(ClosedError, match=f"This {type(store).__name__} is closed"):
            pytest.fail(f"{name} was accepted: {operation()}")
    assert [type(result) for result in store.append_many([(session, an_event())])] == [ClosedError]
    assert session.events == []
    if twin is not None:
        with twin:
            assert found(twin, session).events == []


def test_a_repeated_event_does_not_hide_what_came_before_it(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    other = found(store, session)
    events = [
        store.append_event(other, an_event(str(number), at=1000.0 + number, delta={str(number): 1}))
        for number in range(2)
    ]
    store.append_event(session, events[1].model_copy(deep=True))
    with pytest.raises(StaleSessionError):
        store.append_event(session, an_event("next", at=2000.0))
    assert texts(found(store, session)) == ["0", "1"]


def test_a_repeated_event_in_a_batch_does_not_either(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    other = found(store, session)
    events = [store.append_event(other, an_event(str(number), at=1000.0 + number)) for number in range(2)]
    last, new = events[1].model_copy(deep=True), an_event("new", at=2000.0)
    assert [type(one) for one in store.append_many([(session, last), (session, new)])] == [StaleSessionError] * 2
    assert texts(found(store, session)) == ["0", "1"] and session.events == []
    # With all that it missed before it, the new event follows.
    first = events[0].model_copy(deep=True)
    assert store.append_many([(session, first), (session, last), (session, new)]) == [first, last, new]
    assert texts(found(store, session)) == texts(session) == ["0", "1", "new"]


@pytest.mark.parametrize("wrong", [{}, [], 0, False], ids=repr)
def test_a_session_id_is_a_text(store: SessionStore, wrong: object) -> None:
    with pytest.raises(InputValidationError, match="session_id"):
        store.create_session(**NAMES, session_id=wrong)  # type: ignore[arg-type]
    assert store.list_sessions(app_name=APP).sessions == []


@pytest.mark.parametrize(
    "store",
    [
        RedisSessionStore("redis://127.0.0.1:1", retry=None),
        MongoSessionStore("mongodb://127.0.0.1:1/db?serverSelectionTimeoutMS=100&connect=false"),
    ],
    ids=["redis", "mongodb"],
)
def test_a_ping_of_a_server_that_is_not_there_fails(store: SessionStore) -> None:
    with store, pytest.raises((RedisError, PyMongoError)):
        store.ping()
