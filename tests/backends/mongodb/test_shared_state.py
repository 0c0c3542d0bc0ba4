"""The app's and the user's state on MongoDB: limits, crashes between two writes, late writers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
import pytest
from support.before import Before
from support.histories import NAMES
from support.snapshots import put_back, take

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.errors import EventTooLargeError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

MANY = 40_000
"""Keys that the server sets within a store's timeout only if it does not set them one by one."""


def shared(store: MongoSessionStore, scope: str) -> dict[str, Any]:
    found = store.backend.states.find_one({"user_id": None if scope == "app" else USER})
    assert found is not None
    return found


@pytest.mark.parametrize("scope", ["app", "user"])
def test_shared_state_over_the_limit_is_refused(store: MongoSessionStore, scope: str) -> None:
    session = store.create_session(**NAMES)
    for key in "ab":
        store.append_event(session, an_event(delta={f"{scope}:{key}": "x" * (7 << 20)}))
    with pytest.raises(EventTooLargeError, match=f"The {scope}'s state would take 22,0.* holds 14,6.*15,728,640") as no:
        store.append_event(session, an_event(delta={f"{scope}:c": "x" * (7 << 20), "own": 1}))
    assert no.value.size > no.value.limit > no.value.held
    with pytest.raises(EventTooLargeError, match=scope):
        store.create_session(app_name=APP, user_id=USER, session_id="two", state={f"{scope}:c": "x" * (7 << 20)})
    assert store.get_session(**NAMES) == session
    assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["one"]
    store.append_event(session, an_event(delta={f"{scope}:d": 1}))
    for _ in range(3):  # what is replaced takes no room twice
        store.append_event(session, an_event(delta={f"{scope}:a": "y" * (7 << 20)}))
    store.delete_session(**NAMES)


def test_many_small_deltas_are_refused_when_their_document_is_full(store: MongoSessionStore) -> None:
    sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(8)]
    store.append_event(sessions[0], an_event(delta={"user:big": "x" * (14 << 20)}))
    value = "x" * 100_000
    outcomes: list[Any] = []
    for turn in range(3):
        outcomes += store.append_many(
            (one, an_event(delta={f"user:{turn}-{number}": value, "own": turn})) for number, one in enumerate(sessions)
        )
    refused = [isinstance(one, EventTooLargeError) for one in outcomes]
    assert sum(refused) == len(outcomes) - 10 and not any(refused[:8])
    assert len(bson.encode(shared(store, "user"))) <= limits.STATE_BYTES
    assert sum(len(store.get_session(app_name=APP, user_id=USER, session_id=one.id).events) for one in sessions) == 11
    assert all(one["pending"] == [] for one in store.backend.sessions.find())


@pytest.mark.parametrize("scope", ["app", "user", "own"])
def test_a_delta_of_many_keys_is_applied_soon(server: Any, store: MongoSessionStore, scope: str) -> None:
    prefix = "" if scope == "own" else f"{scope}:"
    session = store.create_session(**NAMES, state={f"{prefix}before": 1, f"{prefix}3": "old"})
    for value in (1, 2):
        store.append_event(session, an_event(delta={f"{prefix}{number}": value for number in range(MANY)}))
        assert store.get_session(**NAMES).state == session.state
    assert len(session.state) == MANY + 1
    store.append_event(session, an_event(delta={f"{prefix}3": 3}))
    assert store.get_session(**NAMES).state[f"{prefix}3"] == 3
    assert store.backend.sessions.find_one({"session_id": "one"})["pending"] == []


def test_a_full_session_is_named_with_what_it_holds(server: Any, store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event(delta={"a": "x" * (10 << 20)}))
    with pytest.raises(EventTooLargeError, match=r"session's document would take .* holds 10,4.*16,711,680") as no:
        store.append_event(session, an_event(delta={"b": "x" * (10 << 20)}))
    assert no.value.size > no.value.limit
    # What waits to be applied is in the session's document as well.
    with pytest.raises(EventTooLargeError, match="session's document"):
        store.append_event(session, an_event(delta={"user:c": "x" * (10 << 20)}))
    assert len(store.get_session(**NAMES).events) == 1
    assert store.backend.chunks.count_documents({}) == 1
    store.append_event(session, an_event(delta={"user:c": 1}))


@pytest.mark.parametrize("keys", [1, limits.PATHS + 1])
@pytest.mark.parametrize(
    "full",
    [pytest.param("full", marks=pytest.mark.not_on("mongomock")), "foreign"],  # mongomock has no limit
)
def test_a_delta_that_cannot_be_applied_stops_nobody(store: MongoSessionStore, full: str, keys: int) -> None:
    session = store.create_session(**NAMES, state={"app:b": 1})
    size = (16 << 20) - 300
    store.backend.states.update_one(
        {}, {"$set": {"state.filler": "x" * size} if full == "full" else {"state": "no object"}}
    )
    birth = store.backend.states.find_one()["birth"]
    state = {str(number): "x" * 400 for number in range(keys)}
    left = {"id": "p", "app": {"ticket": 9, "state": state, "birth": birth}}
    store.backend.sessions.update_one({}, {"$push": {"pending": left}})
    store.append_event(session, an_event("next"))
    store.delete_session(**NAMES)
    assert store.backend.sessions.count_documents({}) == 0


@pytest.mark.not_on("mongomock")  # it sets a field even in what is no object
@pytest.mark.parametrize("together", [1, 2])
def test_a_delta_of_ones_own_that_cannot_be_applied_is_an_error(store: MongoSessionStore, together: int) -> None:
    sessions = [store.create_session(app_name=APP, user_id=USER, state={"app:b": 1}) for _ in range(together)]
    store.backend.states.update_one({"user_id": None}, {"$set": {"state": "no object"}})
    outcomes = store.append_many((one, an_event(delta={"app:b": 2})) for one in sessions)
    assert all(isinstance(one, Exception) for one in outcomes)


@pytest.mark.parametrize("on_stale", ["raise", "append"])
def test_what_an_interrupted_writer_has_left_is_applied_by_the_next_one(
    make_store: Callable[..., MongoSessionStore], on_stale: str
) -> None:
    store = make_store(on_stale=on_stale)
    session = store.create_session(**NAMES, state={"user:a": 0})
    birth = store.backend.states.find_one()["birth"]
    left = {"id": "left", "user": {"ticket": 2, "state": {"a": 1}, "birth": birth}}
    store.backend.states.update_one({"user_id": USER}, {"$set": {"ticket": 2}})
    store.backend.sessions.update_one({}, {"$push": {"pending": left}})
    store.append_event(session, an_event())
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 1}
    assert store.backend.sessions.find_one({})["pending"] == []


def test_what_an_interrupted_writer_has_left_is_applied_before_its_session_is_removed(store: MongoSessionStore) -> None:
    store.create_session(**NAMES, state={"user:a": 0})
    birth = store.backend.states.find_one()["birth"]
    left = {"id": "left", "user": {"ticket": 2, "state": {"a": 1}, "birth": birth}}
    store.backend.sessions.update_one({}, {"$push": {"pending": left}})
    store.archive.discard(SessionKey(APP, USER, NAMES["session_id"]))
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 1}


def test_a_delta_is_applied_late_and_twice(store: MongoSessionStore) -> None:
    """A writer is slower than everybody: the next one has applied its delta, and others came after it."""
    session = store.create_session(**NAMES, state={"user:a": 0})
    birth = store.backend.states.find_one()["birth"]
    late = {"id": "late", "user": {"ticket": 2, "state": {"a": "late", "b": "late"}, "birth": birth}}
    store.backend.states.update_one({"user_id": USER}, {"$set": {"ticket": 2}})
    store.backend.sessions.update_one({}, {"$push": {"pending": late}})
    assert store.get_session(**NAMES).state == {"user:a": "late", "user:b": "late"}
    store.append_event(session, an_event(delta={"user:a": "later"}))
    for _ in range(2):
        store.backend.sessions.update_one({}, {"$push": {"pending": late}})
        assert store.get_session(**NAMES).state == {"user:a": "later", "user:b": "late"}
        store.append_event(session, an_event())
        assert store.get_user_state(app_name=APP, user_id=USER) == {"a": "later", "b": "late"}
    assert store.backend.sessions.find_one({"session_id": "one"})["pending"] == []


def test_a_delta_that_is_stored_while_its_session_is_deleted_is_applied(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    store.create_session(**NAMES, state={"user:a": 0})
    birth = store.backend.states.find_one()["birth"]
    left = {"id": "left", "user": {"ticket": 2, "state": {"a": 1}, "birth": birth}}
    late = Before("delete", "sessions", lambda: store.backend.sessions.update_one({}, {"$push": {"pending": left}}))
    with MongoSessionStore(**storage, event_listeners=[late]) as far:
        far.delete_session(**NAMES)
    assert not late.left
    assert store.backend.sessions.count_documents({}) == 0
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 1}


def test_events_stored_together_set_a_key_in_their_order(store: MongoSessionStore) -> None:
    session, other = (store.create_session(app_name=APP, user_id=USER) for _ in range(2))
    for turn in range(3):
        appends = [(session, an_event(str(number), delta={"user:a": number, "app:b": turn})) for number in range(20)]
        assert not any(isinstance(one, Exception) for one in store.append_many(appends))
        assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 19}
        store.append_many([*((session, an_event(delta={"app:b": 8 - at})) for at in range(3)), (other, an_event())])
    assert len(texts(store.get_session(app_name=APP, user_id=USER, session_id=session.id))) == 69


def test_a_newer_value_that_a_change_of_primary_took_back_keeps_no_other_out(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session, other = (store.create_session(app_name=APP, user_id=USER, state={"user:a": 0}) for _ in range(2))
    snapshot = take(store)["state"]
    newer = Before(
        "update",
        "state",
        lambda: store.append_event(other, an_event(delta={"user:a": 2})),
        lambda: put_back(store, {**take(store), "state": snapshot}),
    )
    with MongoSessionStore(**storage, event_listeners=[newer]) as far:
        far.append_event(session, an_event(delta={"user:a": 1}))
    assert not newer.left
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 1}


def test_a_change_of_many_keys_undoes_none_that_comes_between(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session, other = (store.create_session(app_name=APP, user_id=USER) for _ in range(2))
    between = Before("update", "state", lambda: store.append_event(other, an_event(delta={"user:1": 2, "user:a": 2})))
    delta = {f"user:{number}": 1 for number in range(limits.PATHS + 1)}
    with MongoSessionStore(**storage, event_listeners=[between]) as far:
        far.append_event(session, an_event(delta=delta))
    assert not between.left
    assert store.get_user_state(app_name=APP, user_id=USER) == {
        **{str(number): 1 for number in range(limits.PATHS + 1)},
        "1": 2,
        "a": 2,
    }


def test_a_change_for_an_erased_user_is_not_applied_to_the_next(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(**NAMES, state={"user:a": 0})

    def erased_and_made_again() -> None:
        store.delete_user(app_name=APP, user_id=USER)
        store.create_session(**NAMES, state={"user:b": 2})

    before = Before("update", "state", erased_and_made_again)
    with MongoSessionStore(**storage, event_listeners=[before]) as far:
        far.append_event(session, an_event(delta={"user:a": 1}))
    assert not before.left
    assert store.get_user_state(app_name=APP, user_id=USER) == {"b": 2}


def test_a_change_of_many_keys_of_a_user_who_is_erased_meanwhile_leaves_nothing(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(**NAMES)
    erased = Before("find", "state", lambda: store.delete_user(app_name=APP, user_id=USER))
    with MongoSessionStore(**storage, event_listeners=[erased]) as far:
        far.append_event(session, an_event(delta={f"user:{number}": 1 for number in range(limits.PATHS + 1)}))
    assert not erased.left
    assert store.backend.states.count_documents({"user_id": USER}) == 0


def test_a_delta_that_a_change_of_primary_took_back_is_not_applied(
    server: Any, storage: dict[str, Any], store: MongoSessionStore
) -> None:
    """Its writer died, another one found it, and then it was gone with its event."""
    session = store.create_session(**NAMES, state={"user:a": 0})
    before = take(store)["sessions"]
    birth = store.backend.states.find_one()["birth"]
    left = {"id": "left", "user": {"ticket": 2, "state": {"a": 1}, "birth": birth}}
    store.backend.sessions.update_one({}, {"$push": {"pending": left}})
    taken_back = Before(
        "update", "sessions", lambda: None, lambda: put_back(store, {**take(store), "sessions": before})
    )
    with MongoSessionStore(**storage, event_listeners=[taken_back]) as far:
        far.append_event(session, an_event())
    assert not taken_back.left
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 0}
