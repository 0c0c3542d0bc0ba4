"""What an append must know before it says that an event is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.adk.sessions import Session
from pymongo import monitoring
from pymongo.errors import (
    BulkWriteError,
    WriteError,
    WTimeoutError,
)

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.adk.private import set_storage_marker, storage_marker
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts


def three(store: MongoSessionStore) -> list[Session]:
    return [store.create_session(app_name=APP, user_id=USER, session_id=f"s{n}") for n in range(3)]


def again(store: MongoSessionStore, one: Session) -> Session:
    found = store.get_session(app_name=APP, user_id=USER, session_id=one.id)
    assert found is not None
    return found


def test_who_waits_for_what(server: Any, storage: dict[str, Any]) -> None:
    seen: list[Any] = []

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            if event.command_name == "update":
                seen.append((event.command["update"], event.command.get("writeConcern"), "txnNumber" in event.command))

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
        def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    with MongoSessionStore(**storage, event_listeners=[Listener()]) as store:
        sessions = three(store)
        for one in sessions:
            store.append_event(one, an_event())  # also makes what is missing
        seen.clear()
        store.append_many((one, an_event()) for one in sessions)
        assert seen == [("sessions", {"w": "majority"}, False)]
        seen.clear()
        store.append_many((one, an_event(delta={"app:x": 1, "user:x": 1})) for one in sessions)
        waits = {"w": "majority"}
        assert seen[:3] == [("state", {"w": 1}, False), ("sessions", waits, False), ("state", waits, False)]
        assert seen[3:] == [("sessions", {"w": 0}, False)]


def test_a_redelivered_batch_undoes_nothing_newer(store: MongoSessionStore) -> None:
    a, b, c = three(store)
    a2, b2 = again(store, a), again(store, b)
    first, second = an_event("1", delta={"app:x": "old"}), an_event("2", delta={"app:y": "old"})
    store.append_many([(a, first.model_copy(deep=True)), (b, second.model_copy(deep=True))])
    store.append_event(c, an_event(delta={"app:x": "new", "app:y": "new"}))
    assert not any(isinstance(one, Exception) for one in store.append_many([(a2, first), (b2, second)]))
    assert again(store, c).state == {"app:x": "new", "app:y": "new"}


def test_a_redelivered_batch_in_shared_state_that_was_never_applied(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, _ = three(store)
    events = [an_event(name, delta={f"app:{name}": name}) for name in "xy"]

    def broken(*arguments: Any) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.backend.shared), "apply", broken)
        outcomes = store.append_many(zip((a, b), events, strict=True))
    assert all(isinstance(one, ConnectionError) for one in outcomes)
    assert not any(isinstance(one, Exception) for one in store.append_many(zip((a, b), events, strict=True)))
    assert again(store, a).state == {"app:x": "x", "app:y": "y"}
    assert [len(again(store, one).events) for one in (a, b)] == [1, 1]


def full(store: MongoSessionStore, session: Session) -> None:
    while store.backend.sessions.find_one({"session_id": session.id})["tail_count"] < limits.TAIL_EVENTS:
        store.append_event(session, an_event(at=2000.0))


@pytest.mark.parametrize("repeated", ["tail", "chunk"])
def test_room_is_made_for_no_repeated_event(store: MongoSessionStore, repeated: str) -> None:
    a, b, _ = three(store)
    first = an_event("0", at=1000.0)
    store.append_event(a, first)
    knows_revision = again(store, a)
    if repeated == "chunk":
        store.append_many((a, an_event(str(number), at=1001.0)) for number in range(100))
    full(store, a)
    revision = store.backend.sessions.find_one({"session_id": a.id})["revision"]
    set_storage_marker(knows_revision, str(revision))
    outcomes = store.append_many([(knows_revision, first.model_copy(deep=True)), (b, an_event())])
    assert not any(isinstance(one, Exception) for one in outcomes)
    assert store.backend.sessions.find_one({"session_id": a.id})["revision"] == revision


def test_room_is_made_in_no_session_of_a_newer_version(store: MongoSessionStore) -> None:
    a, b, _ = three(store)
    full(store, a)
    store.backend.sessions.update_one({"session_id": a.id}, {"$set": {"format": 99}})
    outcomes = store.append_many([(a, an_event()), (b, an_event())])
    assert [isinstance(one, Exception) for one in outcomes] == [True, False]
    assert store.backend.chunks.count_documents({}) == 0


def test_chunks_that_are_due_are_renewed_before_room_is_made(make_store: Callable[..., MongoSessionStore]) -> None:
    store = make_store(ttl=1000)
    a, b, _ = three(store)
    store.append_many((a, an_event(str(number))) for number in range(100))
    full(store, a)
    soon = store.backend.expiry.now() + timedelta(seconds=1400)
    store.backend.sessions.update_one({"session_id": a.id}, {"$set": {"chunks_expire_at": soon}})
    store.backend.chunks.update_many({}, {"$set": {"expires_at": soon}})
    assert not any(isinstance(one, Exception) for one in store.append_many([(a, an_event()), (b, an_event())]))
    assert all(one["expires_at"] > soon for one in store.backend.chunks.find())


@pytest.mark.parametrize("together", [True, False], ids=["batch", "alone"])
def test_events_whose_chunk_was_not_waited_for_are_not_cut(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    a, b, _ = three(store)
    full(store, a)
    insert_many = type(store.backend.chunks).insert_many
    waited = {"code": 64, "errmsg": "waiting", "errInfo": {"wtimeout": True}}

    def not_waited(self: Any, *arguments: Any, **named: Any) -> Any:
        insert_many(self, *arguments, **named)
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [waited]})

    with monkeypatch.context() as patch:
        patch.setattr(type(store.backend.chunks), "insert_many", not_waited)
        outcomes = store.append_many([(a, an_event("last")), *([(b, an_event())] if together else [])])
    assert isinstance(outcomes[0], WTimeoutError)
    assert store.backend.sessions.find_one({"session_id": a.id})["tail_first"] == 0
    store.append_event(a, an_event("last"))
    assert len(texts(again(store, a))) == len(a.events)


@pytest.mark.parametrize(
    "state",
    [
        {"_id": f"{APP}/{USER}", "foreign": True},
        pytest.param(
            {"_id": f"{APP}/{USER}", "app_name": APP, "user_id": USER, "ticket": "damaged"},
            marks=pytest.mark.not_on("mongomock"),  # it adds to a text
        ),
    ],
    ids=["foreign", "damaged"],
)
def test_what_is_refused_for_one_session_is_told_to_no_other(store: MongoSessionStore, state: dict[str, Any]) -> None:
    sessions = three(store)
    other = store.create_session(app_name=APP, user_id="other", session_id="theirs")
    store.backend.states.insert_one(state)
    outcomes = store.append_many(
        [(one, an_event(one.id, delta={"user:x": 1})) for one in sessions]
        + [(other, an_event("mine", delta={"user:x": 1}))]
    )
    assert [isinstance(one, Exception) for one in outcomes] == [True, True, True, False]
    assert all(isinstance(one, CorruptRecordError) for one in outcomes[:3]) == ("foreign" in state)
    assert store.get_user_state(app_name=APP, user_id="other") == {"x": 1}


def test_a_refused_chunk_shows_no_event(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    (a, *_) = three(store)
    full(store, a)

    def refused(self: Any, documents: Any, **named: Any) -> Any:
        raise BulkWriteError({"writeErrors": [{"index": 0, "code": 121, "errmsg": "invalid", "op": "SECRET"}]})

    monkeypatch.setattr(type(store.backend.chunks), "insert_many", refused)
    with pytest.raises(WriteError) as caught:
        store.append_event(a, an_event("last"))
    assert "SECRET" not in f"{caught.value} {caught.value.details} {caught.value.__context__} {caught.value.__cause__}"


def test_a_repeated_event_beyond_a_gap_moves_no_marker(store: MongoSessionStore) -> None:
    a, b, _ = three(store)
    behind = again(store, a)
    second = an_event("2")
    store.append_many([(a, an_event("1")), (a, second)])
    before = storage_marker(behind)
    store.append_many([(behind, second.model_copy(deep=True)), (b, an_event())])
    assert storage_marker(behind) == before


def test_no_room_is_made_for_the_superseded_the_expired_and_the_gone(
    make_store: Callable[..., MongoSessionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(ttl=1000)
    superseded, expired, gone = three(store)
    alive = store.create_session(app_name=APP, user_id=USER, session_id="alive")
    full(store, superseded)
    behind = again(store, superseded)
    store.append_many((superseded, an_event()) for _ in range(limits.TAIL_EVENTS - limits.KEPT_EVENTS))
    for one in (superseded, expired, gone, alive):
        full(store, one)
    store.backend.sessions.drop_index("adk_sessions_ttl")  # mongomock removes what has expired at once
    past = store.backend.expiry.now() - timedelta(seconds=1000)
    store.backend.sessions.update_one({"session_id": expired.id}, {"$set": {"expires_at": past}})
    write = ChunkWriter.write

    def then_gone(self: ChunkWriter, *arguments: Any) -> Any:
        written = write(self, *arguments)
        monkeypatch.undo()
        store.delete_session(app_name=APP, user_id=USER, session_id=gone.id)
        return [None if one.key.session_id == gone.id else one for one in written]

    monkeypatch.setattr(ChunkWriter, "write", then_gone)
    outcomes = store.append_many((one, an_event("last")) for one in (behind, expired, gone, alive))
    assert [type(one).__name__ for one in outcomes] == [
        "StaleSessionError",
        "SessionNotFoundError",
        "SessionNotFoundError",
        "Event",
    ]
    assert texts(again(store, alive))[-1] == "last"


def test_a_tail_that_has_changed_is_not_cut(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _ = three(store)
    full(store, a)
    other = again(store, a)
    write = ChunkWriter.write

    def then_changed(self: ChunkWriter, *arguments: Any) -> Any:
        written = write(self, *arguments)
        monkeypatch.undo()
        store.append_event(other, an_event("quicker"))
        return written

    monkeypatch.setattr(ChunkWriter, "write", then_changed)
    outcomes = store.append_many([(a, an_event("slower")), (b, an_event())])
    assert [type(one).__name__ for one in outcomes] == ["StaleSessionError", "Event"]
    assert texts(again(store, other)) == texts(other)


def test_a_repeated_event_is_confirmed_before_it_is_acknowledged(server: Any, storage: dict[str, Any]) -> None:
    seen: list[Any] = []

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            if event.command_name == "update":
                seen.append(event.command.get("writeConcern"))

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
        def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    with MongoSessionStore(**storage, event_listeners=[Listener()]) as store:
        (one, *_) = three(store)
        behind, event = again(store, one), an_event()
        store.append_event(one, event)
        seen.clear()
        store.append_event(behind, event.model_copy(deep=True))
        assert len(seen) == 2 and seen[-1] in ({"w": "majority"}, None)
