"""Tickets of changes of shared state, and room for them: taken, given back, and taken back by a change of primary."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import bson
import pytest
from support.before import After, Before
from support.histories import NAMES

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import layout, limits
from adk_extra_sessions.errors import EventTooLargeError, SessionNotFoundError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state import StateTexts
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


def user_document(store: MongoSessionStore) -> dict[str, Any]:
    found = store.backend.states.find_one({"user_id": USER})
    assert found is not None
    return found


def test_whoever_gives_the_last_ticket_back_removes_what_was_made_for_tickets(store: MongoSessionStore) -> None:
    store.create_session(**NAMES)
    store.delete_session(**NAMES)
    key = SessionKey(APP, USER, NAMES["session_id"])
    tickets = store.backend.shared.tickets
    first, second, late = (tickets.reserve(key, {name: StateTexts(user={"a": "1"})}) for name in ("1", "2", "3"))
    for deltas in (second, first):
        tickets.give_back(key, deltas)
        assert user_document(store)["returned"] == (1 if deltas is second else 2)
    tickets.give_back(key, late)
    assert store.backend.states.find_one({"user_id": USER}) is None
    # A batch takes tickets by two messages; after an erasure between them it has more than the new document counts.
    tickets.give_back(key, tickets.reserve(key, {"4": StateTexts(user={"a": "1"})}) * 2)
    assert store.backend.states.find_one({"user_id": USER}) is None


def test_a_ticket_taken_as_the_last_one_is_given_back_keeps_its_document(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    key = SessionKey(APP, USER, NAMES["session_id"])
    reserve = partial(store.backend.shared.tickets.reserve, key)
    late = Before("delete", "state", lambda: reserve({"2": StateTexts(user={"a": "1"})}))
    with MongoSessionStore(**storage, event_listeners=[late]) as far:
        far.backend.shared.tickets.give_back(key, reserve({"1": StateTexts(user={"a": "1"})}))
    assert not late.left
    assert user_document(store)["ticket"] == 2


def test_a_ticket_of_an_erased_user_given_back_takes_nothing_from_the_next(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    key = SessionKey(APP, USER, NAMES["session_id"])
    tickets = store.backend.shared.tickets
    gone = tickets.reserve(key, {"1": StateTexts(user={"a": "1"})})
    store.delete_user(app_name=APP, user_id=USER)
    session = store.create_session(**NAMES)
    late = Before("update", "sessions", lambda: tickets.give_back(key, gone))
    with MongoSessionStore(**storage, event_listeners=[late]) as far:
        far.append_event(session, an_event(delta={"user:a": 2}))
    assert not late.left
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 2}


def test_tickets_of_an_erased_user_given_back_take_nothing_from_a_change_in_progress(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    taken, given_back = threading.Event(), threading.Event()

    def wait() -> None:
        taken.set()
        assert given_back.wait(60)

    between = Before("update", "sessions", wait)
    with MongoSessionStore(**storage, event_listeners=[between]) as near, ThreadPoolExecutor(1) as threads:
        changing: list[Future[Any]] = []

        def make_the_user_anew() -> None:
            store.delete_user(app_name=APP, user_id=USER)
            session = store.create_session(app_name=APP, user_id=USER)
            changing.append(threads.submit(near.append_event, session, an_event(delta={"user:a": 2})))
            assert taken.wait(60)

        erased = After("update", "state", make_the_user_anew)
        gone = store.create_session(**NAMES)
        with MongoSessionStore(**storage, event_listeners=[erased]) as far, pytest.raises(SessionNotFoundError):
            far.append_event(gone, an_event(delta={"user:a": 1, "app:b": 1}))
        given_back.set()
        changing[0].result()
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 2}


def test_room_taken_while_it_is_measured_is_not_taken_twice(
    server: Any, storage: dict[str, Any], store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STATE_BYTES", 10_000)
    first, second = (store.create_session(app_name=APP, user_id=USER) for _ in range(2))
    store.append_event(first, an_event(delta={"user:a": "x" * 4000}))
    store.append_event(first, an_event(delta={"user:a": "x" * 4000}))
    other = Before("update", "state", lambda: store.append_event(second, an_event(delta={"user:b": "x" * 4500})))
    with MongoSessionStore(**storage, event_listeners=[other]) as far:
        far.append_event(first, an_event(delta={"user:a": "x" * 4000}))
    assert not other.left
    with pytest.raises(EventTooLargeError):
        store.append_event(first, an_event(delta={"user:c": "x" * 4000}))


def test_a_ticket_given_back_takes_no_state_away(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    key = SessionKey(APP, USER, NAMES["session_id"])
    tickets = store.backend.shared.tickets
    gone = tickets.reserve(key, {"1": StateTexts(user={"a": "1"})})
    store.append_event(session, an_event(delta={"user:a": 2}))
    tickets.give_back(key, gone * 2)  # more than were taken, as after an erasure between two messages
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 2}


def test_a_ticket_that_a_change_of_primary_took_back_is_not_given_again(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(**NAMES)
    take_back = Before("update", "sessions", lambda: store.backend.states.update_one({}, {"$inc": {"ticket": -1}}))
    with MongoSessionStore(**storage, event_listeners=[take_back]) as far:
        far.append_event(session, an_event(delta={"user:a": 1}))
    store.append_event(session, an_event(delta={"user:a": 2}))
    assert not take_back.left
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 2}


def test_tickets_of_a_refused_change_leave_nothing_of_a_user_who_is_erased(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(**NAMES)
    store.backend.states.insert_one({"_id": layout.app_id(APP), "foreign": True})
    erased = Before("update", "state", lambda: store.delete_user(app_name=APP, user_id=USER))
    with MongoSessionStore(**storage, event_listeners=[erased]) as far, pytest.raises(SessionNotFoundError):
        far.append_event(session, an_event(delta={"user:a": 1, "app:b": 1}))
    assert not erased.left
    assert store.backend.states.find_one({"user_id": USER}) is None


def test_a_user_who_is_erased_while_room_is_measured_has_no_session(
    server: Any, storage: dict[str, Any], store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STATE_BYTES", 10_000)
    session, event = store.create_session(**NAMES), an_event(delta={"user:a": "x" * 6000})
    store.append_event(session, event)
    erased = Before("find", "state", lambda: store.delete_user(app_name=APP, user_id=USER))
    with MongoSessionStore(**storage, event_listeners=[erased]) as far, pytest.raises(SessionNotFoundError):
        far.append_event(session, an_event(delta={"user:a": "y" * 6000}))
    assert not erased.left


def test_the_room_of_names_and_tickets_counts(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STATE_BYTES", 10_000)
    session = store.create_session(**NAMES)
    appends = [an_event(delta={f"user:{turn}-{number}": 1 for number in range(50)}) for turn in range(10)]
    outcomes = [store.append_many([(session, event)])[0] for event in appends]
    assert isinstance(outcomes[-1], EventTooLargeError)
    assert len(bson.encode(user_document(store))) <= limits.STATE_BYTES
