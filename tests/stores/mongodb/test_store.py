"""What only MongoDB has: messages, chunks, indexes, queries of one's own, damaged records."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.adk.sessions.base_session_service import GetSessionConfig
from pymongo.errors import AutoReconnect, WriteError

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.contract.samples import APP, USER, an_event, texts
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError, SessionNotFoundError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.stores.mongodb import documents, shared_state
from adk_extra_sessions.stores.mongodb.history import History

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture(params=["mongomock", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """MongoDB only."""
    from conftest import BACKENDS

    if request.param not in BACKENDS:
        pytest.skip("ADK_EXTRA_SESSIONS_SERVERS=1 tests real servers")
    return str(request.param)


def filled(store: MongoSessionStore, count: int, start: int = 0) -> Any:
    """A session with `count` events."""
    session = store.create_session(**NAMES, state={"plan": "gold"})
    store.append_many((session, an_event(str(number), at=1000.0 + number)) for number in range(start, start + count))
    return session


def test_messages(store: MongoSessionStore, server: Any) -> None:
    def messages(operation: Callable[[], Any]) -> int:
        def requests() -> int:
            return int(store.client.admin.command("serverStatus")["network"]["numRequests"])

        best = 99
        for _ in range(3):  # heartbeats and the server's own are counted too
            before = requests()
            operation()
            best = min(best, requests() - before - 1)
        return best

    session = filled(store, 10)
    assert messages(lambda: store.append_event(session, an_event(delta={"a": 1}))) == 1
    assert messages(lambda: store.append_event(session, an_event(delta={"user:a": 1, "app:a": 1}))) <= 3
    assert messages(lambda: store.get_session(**NAMES)) == 1
    assert messages(lambda: store.create_session(app_name=APP, user_id=USER)) <= 2
    store.append_many((session, an_event()) for _ in range(300))
    recent = GetSessionConfig(num_recent_events=20)
    assert messages(lambda: store.get_session(**NAMES, config=recent)) == 1
    sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(30)]
    assert messages(lambda: store.append_many((one, an_event()) for one in sessions)) == 1
    assert messages(lambda: store.list_sessions(app_name=APP)) <= 3


def test_long_histories_cost_few_messages_more(store: MongoSessionStore, server: Any) -> None:
    session = store.create_session(**NAMES)
    before = int(store.client.admin.command("serverStatus")["network"]["numRequests"])
    for number in range(300):
        store.append_event(session, an_event(str(number)))
    after = int(store.client.admin.command("serverStatus")["network"]["numRequests"])
    assert (after - before) / 300 <= 1.1


def test_the_tail_keeps_the_newest_and_chunks_the_rest(store: MongoSessionStore) -> None:
    filled(store, 330)
    (session,) = store._sessions.find()
    assert documents.KEEP <= session["tail_count"] == len(session["tail"]) <= documents.TAIL_EVENTS
    chunks = sorted(store._chunks.find(), key=lambda chunk: chunk["first"])
    position = 0
    for chunk in chunks:
        assert chunk["first"] == position and len(chunk["events"]) == chunk["count"]
        position += chunk["count"]
    assert position == session["tail_first"] and position + session["tail_count"] == 330
    assert session["tail_bytes"] == sum(len(event["body"]) for event in session["tail"])


def test_large_events_keep_the_tail_small(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    sizes = [10, 200_000, 300_000, 5_000_000, 10, *[150_000] * 40, 3_000_000]
    for size in sizes:
        store.append_event(session, an_event("x" * size))
    (stored,) = store._sessions.find()
    assert stored["tail_bytes"] <= documents.TAIL_BYTES
    found = store.get_session(**NAMES)
    assert found == session
    assert [len(text or "") for text in texts(found)] == sizes
    store.delete_session(**NAMES)
    assert store._chunks.count_documents({}) == 0


def test_an_event_over_the_limit_is_refused_with_its_size(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event("y" * 15_000_000))
    with pytest.raises(EventTooLargeError, match="20,000,") as error:
        store.append_event(session, an_event("x" * 20_000_000, delta={"a": 1}))
    assert error.value.size > 20_000_000 and error.value.limit == documents.DOCUMENT_BYTES
    assert session.state == {}
    found = store.get_session(**NAMES)
    assert found is not None and len(found.events) == 1
    store.append_event(session, an_event("after"))


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
    assert store._chunks.count_documents({}) == 1
    store.append_event(session, an_event(delta={"b": 1}))


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


def test_state_can_be_queried(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES, state={"plan": "gold", "seats": {"paid": 3}, "user:age": 7})
    store.create_session(app_name=APP, user_id="other", state={"plan": "free"})
    store.append_event(session, an_event(delta={"score": 1.5}))
    assert store._sessions.find_one({"state.plan": "gold"})["session_id"] == "one"
    assert store._sessions.find_one({"state.seats.paid": {"$gt": 2}, "state.score": 1.5})["session_id"] == "one"
    assert store._states.find_one({"state.age": 7})["user_id"] == USER


def append_from(session: Any, store: MongoSessionStore, start: int) -> None:
    for number in range(start, start + 20):
        store.append_event(session, an_event(str(number), at=1000.0 + number))


@pytest.mark.parametrize("stored", [95, 195], ids=["first-move", "third-move"])
def test_a_chunk_move_may_stop_anywhere(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch, stored: int) -> None:
    session = filled(store, stored)
    cut = documents.add_cut

    def broken(*arguments: Any) -> Any:
        raise ConnectionError("lost")

    monkeypatch.setattr(documents, "add_cut", broken)
    chunks = store._chunks.count_documents({})
    for _ in range(2):
        with pytest.raises(ConnectionError):
            append_from(session, store, len(session.events))
    assert store._chunks.count_documents({}) == chunks + 1
    found = store.get_session(**NAMES)
    assert found is not None
    assert texts(found) == texts(session)
    half = store.get_session(**NAMES, config=GetSessionConfig(after_timestamp=1010.0))
    assert half is not None
    assert texts(half) == texts(session)[10:]
    recent = store.get_session(**NAMES, config=GetSessionConfig(num_recent_events=len(session.events) - 3))
    assert recent is not None
    assert texts(recent) == texts(session)[3:]
    monkeypatch.setattr(documents, "add_cut", cut)
    append_from(session, store, len(session.events))
    found = store.get_session(**NAMES)
    assert found is not None
    assert texts(found) == texts(session)


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
        def apply(self, deltas: Any) -> None:
            recorded.extend(deltas)

    object.__setattr__(store._appending, "shared", Slow(shared.states, shared.sessions))
    store.append_event(session, an_event(delta={"user:a": "slow"}))
    object.__setattr__(store._appending, "shared", shared)
    recorded[0].delta["time"] -= 1000
    shared.rescue(recorded[0].key, [recorded[0].delta])
    store.append_event(session, an_event(delta={"user:a": "later"}))
    shared.apply(recorded)
    assert store.get_user_state(app_name=APP, user_id=USER) == {"a": "later"}


def test_indexes_are_made_once_and_ttl_changes_in_place(make_store: Callable[..., MongoSessionStore]) -> None:
    store = make_store(ttl=100)
    store.create_session(**NAMES)
    assert store._sessions.index_information()["adk_sessions_ttl"]["expireAfterSeconds"] == 100
    assert store._chunks.index_information()["adk_chunks_ttl"]["expireAfterSeconds"] == 200
    other = make_store(ttl=7)
    other.ensure_indexes()
    assert store._sessions.index_information()["adk_sessions_ttl"]["expireAfterSeconds"] == 7
    assert store._chunks.index_information()["adk_chunks_ttl"]["expireAfterSeconds"] == 14


def test_a_forgotten_ttl_index_is_told(
    make_store: Callable[..., MongoSessionStore], caplog: pytest.LogCaptureFixture
) -> None:
    make_store(ttl=100).ensure_indexes()
    with caplog.at_level(logging.WARNING):
        make_store().ensure_indexes()
    assert "adk_sessions_ttl" in caplog.text


DAMAGE: dict[str, Callable[[MongoSessionStore], Any]] = {
    "event-not-json": lambda store: store._sessions.update_one({}, {"$set": {"tail.1.body": "{"}}),
    "body-gone": lambda store: store._sessions.update_one({}, {"$unset": {"tail.1.body": 1}}),
    "chunk-gone": lambda store: store._chunks.delete_one({"first": 0}),
    "chunk-event-not-json": lambda store: store._chunks.update_one({}, {"$set": {"events.1.body": "{"}}),
    "foreign": lambda store: store._sessions.update_one({}, {"$unset": {"format": 1}}),
    "newer-format": lambda store: store._sessions.update_one({}, {"$set": {"format": 99}}),
    "no-revision": lambda store: store._sessions.update_one({}, {"$unset": {"revision": 1}}),
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


def test_chunks_and_large_bodies_outlive_their_session(
    make_store: Callable[..., MongoSessionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(ttl=60)
    session = store.create_session(**NAMES)
    now = store._expiry.now()
    clock = [now]
    monkeypatch.setattr(type(store._expiry), "now", lambda self: clock[0])
    store.append_event(session, an_event("x" * 300_000))
    for step in range(40):
        clock[0] = now + timedelta(seconds=5 * step)
        store.append_many((session, an_event(f"{step}.{number}")) for number in range(15))
        (head,) = store._sessions.find({}, {"active_at": 1})
        oldest = min(chunk["active_at"] for chunk in store._chunks.find({}, {"active_at": 1}))
        assert oldest + timedelta(seconds=120) > head["active_at"] + timedelta(seconds=60)
    assert len(store._chunks.distinct("_id")) > 5


def test_a_shorter_ttl_takes_no_chunk_from_a_living_session(make_store: Callable[..., MongoSessionStore]) -> None:
    store = make_store()
    session = filled(store, 180)
    store._chunks.update_many({}, {"$set": {"active_at": store._expiry.now() - timedelta(days=90)}})
    short = make_store(ttl=3600)
    short.append_event(session, an_event())
    assert all(chunk["active_at"] > store._expiry.now() - timedelta(minutes=5) for chunk in store._chunks.find())
    assert len(short.get_session(**NAMES).events) == 181


def test_a_retry_does_not_undo_newer_shared_state(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    session = store.create_session(**NAMES)
    other = store.create_session(app_name=APP, user_id=USER)
    event = an_event(delta={"app:x": 1})

    def broken(*arguments: Any) -> Any:
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


def test_one_odd_event_spoils_no_batch(store: MongoSessionStore) -> None:
    sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(3)]
    odd = an_event()
    odd.__dict__["timestamp"] = 2**70
    results = store.append_many(zip(sessions, [an_event(), odd, an_event()], strict=True))
    assert [isinstance(result, Exception) for result in results] == [False, True, False]


def test_an_append_that_meets_a_deletion_leaves_nothing_behind(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = filled(store, 100)
    copy_oldest = History.copy_oldest

    def then_deleted(self: History, head: Any, now: Any) -> Any:
        copied = copy_oldest(self, head, now)
        store.delete_session(**NAMES)
        store._chunks.insert_one(copied)  # as if it had been written just after the deletion
        return copied

    monkeypatch.setattr(History, "copy_oldest", then_deleted)
    with pytest.raises(SessionNotFoundError):
        store.append_event(session, an_event())
    assert store._chunks.count_documents({}) == 0


def test_deleting_what_is_gone_removes_what_was_left(store: MongoSessionStore) -> None:
    filled(store, 180)
    store._sessions.delete_one({})
    session = filled(store, 180)
    store._sessions.update_one({}, {"$set": {"session_id": "one"}})
    chunks = store._chunks.count_documents({})
    store.delete_session(**NAMES)
    store.delete_session(**NAMES)
    assert chunks > 2
    assert store._chunks.count_documents({}) == 0
    assert session.id == "one"


def test_indexes_are_tried_again_after_a_bad_start(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*arguments: Any) -> Any:
        raise AutoReconnect("down")

    with monkeypatch.context() as patch:
        patch.setattr("adk_extra_sessions.stores.mongodb.indexes.ensure", down)
        with pytest.raises(AutoReconnect):
            store.create_session(**NAMES)
    store.create_session(**NAMES)
    assert "adk_chunks_by_time" in store._chunks.index_information()


def test_a_foreign_document_in_the_way_is_told_and_not_fought(store: MongoSessionStore) -> None:
    identity = documents.session_filter(SessionKey(APP, USER, "one"))["_id"]
    store._sessions.insert_one({"_id": identity, "app_name": "foreign"})
    with pytest.raises(CorruptRecordError, match="'one'"):
        store.create_session(**NAMES)
    session = store.create_session(app_name=APP, user_id=USER)
    store._states.insert_one({"_id": documents.app_id(APP), "app_name": "foreign"})
    with pytest.raises(CorruptRecordError, match="foreign"):
        store.append_event(session, an_event(delta={"app:a": 1}))
    store._sessions.update_one({"session_id": session.id}, {"$unset": {"base": 1, "tail_count": 1}})
    with pytest.raises(CorruptRecordError, match="damaged"):
        store.append_event(session, an_event())
