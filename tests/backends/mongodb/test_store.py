"""What only MongoDB has: messages, queries of one's own, damaged records, retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.adk.sessions.base_session_service import GetSessionConfig
from support.histories import NAMES, filled
from support.sent_commands import SentCommands

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


def test_messages(make_store: Callable[..., MongoSessionStore], server: Any) -> None:
    sent = SentCommands()
    store = make_store(event_listeners=[sent])

    def messages(operation: Callable[[], Any]) -> int:
        operation()  # from here on what it needs is there
        sent.names.clear()
        operation()
        return len(sent.names)

    session = filled(store, 10)
    assert messages(lambda: store.append_event(session, an_event(delta={"a": 1}))) == 1
    assert messages(lambda: store.append_event(session, an_event(delta={"user:a": 1, "app:a": 1}))) <= 5
    assert messages(lambda: store.get_session(**NAMES)) == 1
    assert messages(lambda: store.create_session(app_name=APP, user_id=USER)) <= 2
    store.append_many((session, an_event()) for _ in range(300))
    recent = GetSessionConfig(num_recent_events=20)
    assert messages(lambda: store.get_session(**NAMES, config=recent)) == 1
    sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(30)]
    assert messages(lambda: store.append_many((one, an_event()) for one in sessions)) == 1
    assert messages(lambda: store.list_sessions(app_name=APP)) <= 3
    user: dict[str, Any] = {"app_name": APP, "user_id": USER}
    assert messages(lambda: store.list_sessions(**user, page_size=5, order_by="update_time desc")) <= 2
    assert messages(lambda: store.list_sessions(app_name=APP, page_size=5, labels={"a": "b"})) <= 2
    assert messages(lambda: store.count_sessions(**user)) == 1
    assert messages(lambda: store.count_sessions(app_name=APP)) == 1
    assert messages(lambda: store.get_or_create_session(**NAMES, config=recent)) == 1
    changes = {"display_name": "a", "labels": {"a": "b"}, "ttl": "1h"}
    assert messages(lambda: store.update_session(**NAMES, **changes)) <= 2
    assert messages(lambda: store.prune_sessions(**user, before=1.0)) == 1


def test_a_state_over_the_limit_is_refused(store: MongoSessionStore, server: Any) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event(delta={"a": "x" * 9_000_000}))
    with pytest.raises(EventTooLargeError):
        store.append_event(session, an_event(delta={"b": "x" * 9_000_000}))
    with pytest.raises(EventTooLargeError):
        store.create_session(app_name=APP, user_id=USER, state={"a": "x" * 17_000_000})
    found = store.get_session(**NAMES)
    assert found is not None and list(found.state) == ["a"] and len(found.events) == 1
    # Nothing is left of the refused event's body, which had been stored apart.
    assert store.backend.chunks.count_documents({}) == 1
    store.append_event(session, an_event(delta={"b": 1}))


def test_state_can_be_queried(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES, state={"plan": "gold", "seats": {"paid": 3}, "user:age": 7})
    store.create_session(app_name=APP, user_id="other", state={"plan": "free"})
    store.append_event(session, an_event(delta={"score": 1.5}))
    assert store.backend.sessions.find_one({"state.plan": "gold"})["session_id"] == "one"
    assert store.backend.sessions.find_one({"state.seats.paid": {"$gt": 2}, "state.score": 1.5})["session_id"] == "one"
    assert store.backend.states.find_one({"state.age": 7})["user_id"] == USER


DAMAGE: dict[str, Callable[[MongoSessionStore], Any]] = {
    "event-not-json": lambda store: store.backend.sessions.update_one({}, {"$set": {"tail.1.body": "{"}}),
    "body-gone": lambda store: store.backend.sessions.update_one({}, {"$unset": {"tail.1.body": 1}}),
    "chunk-gone": lambda store: store.backend.chunks.delete_one({"first": 0}),
    "chunk-event-not-json": lambda store: store.backend.chunks.update_one({}, {"$set": {"events.1.body": "{"}}),
    "foreign": lambda store: store.backend.sessions.update_one({}, {"$unset": {"format": 1}}),
    "newer-format": lambda store: store.backend.sessions.update_one({}, {"$set": {"format": 99}}),
    "no-revision": lambda store: store.backend.sessions.update_one({}, {"$unset": {"revision": 1}}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_record_is_named_and_never_half_read(
    store: MongoSessionStore, damage: Callable[[MongoSessionStore], Any]
) -> None:
    filled(store, 180)
    damage(store)
    with pytest.raises(CorruptRecordError, match="'one'"):
        store.get_session(**NAMES)


def test_retryable_writes_are_not_needed(store: MongoSessionStore, server: Any) -> None:
    with MongoSessionStore(server.url, db_name=store.db_name, retryWrites=False) as other:
        session = filled(other, 120)
        assert other.get_session(**NAMES) == session


def test_one_odd_event_spoils_no_batch(store: MongoSessionStore) -> None:
    sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(3)]
    odd = an_event()
    odd.__dict__["timestamp"] = 2**70
    results = store.append_many(zip(sessions, [an_event(), odd, an_event()], strict=True))
    assert [isinstance(result, Exception) for result in results] == [False, True, False]


def test_a_foreign_document_in_the_way_is_told_and_not_fought(store: MongoSessionStore) -> None:
    identity = layout.session_filter(SessionKey(APP, USER, "one"))["_id"]
    store.backend.sessions.insert_one({"_id": identity, "app_name": "foreign"})
    with pytest.raises(CorruptRecordError, match="'one'"):
        store.create_session(**NAMES)
    session = store.create_session(app_name=APP, user_id=USER)
    store.backend.states.insert_one({"_id": layout.app_id(APP), "app_name": "foreign"})
    with pytest.raises(CorruptRecordError, match="another program"):
        store.append_event(session, an_event(delta={"app:a": 1}))
    store.backend.sessions.update_one({"session_id": session.id}, {"$unset": {"start_revision": 1, "tail_count": 1}})
    with pytest.raises(CorruptRecordError, match="damaged"):
        store.append_event(session, an_event())
