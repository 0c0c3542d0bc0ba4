"""Chunks and bodies of one session: none is taken for another's, none is left behind, and none is missed silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from pymongo import monitoring
from support.before import After, Before
from support.histories import NAMES, filled
from support.snapshots import put_back, take

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import documents, limits
from adk_extra_sessions.errors import CorruptRecordError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import an_event, texts
from adk_extra_sessions.transfer.streams import stream_session


class Commands(monitoring.CommandListener):
    """Counts commands, and does something once before the first of a kind is sent."""

    def __init__(self) -> None:
        self.count = 0
        self.command = ("", "")
        self.action: Callable[[], object] | None = None

    def before(self, command: str, collection: str, action: Callable[[], object]) -> None:
        self.command, self.action = (command, collection), action

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.count += 1
        name, collection = self.command
        if self.action and event.command_name == name and event.command[name] == collection:
            action, self.action = self.action, None
            action()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@pytest.fixture
def commands() -> Commands:
    return Commands()


def again(store: MongoSessionStore, **config: Any) -> Session:
    found = store.get_session(**NAMES, config=GetSessionConfig(**config))
    assert found is not None
    return found


def streamed(store: MongoSessionStore) -> list[Any]:
    found = stream_session(store, **NAMES)
    assert found is not None
    return list(found.events)


@pytest.mark.parametrize("command", ["insert", "update"])
@pytest.mark.parametrize("on_stale", ["append", "raise"])
@pytest.mark.parametrize("events", [0, limits.TAIL_EVENTS], ids=["short", "full"])
def test_a_session_made_again_has_nothing_of_the_one_before(
    store: MongoSessionStore,
    server: Any,
    storage: dict[str, Any],
    commands: Commands,
    on_stale: Any,
    events: int,
    command: str,
) -> None:
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(str(number))) for number in range(events))

    def made_again() -> None:
        store.delete_session(**NAMES)
        store.create_session(**NAMES)

    with MongoSessionStore(**storage, on_stale=on_stale, event_listeners=[commands]) as appending:
        appending.ensure_indexes()
        collection = store.backend.chunks if command == "insert" else store.backend.sessions
        commands.before(command, collection.name, made_again)
        if on_stale == "append":
            appending.append_event(session, an_event("x" * 300_000))
            assert texts(again(store)) == ["x" * 300_000]
        else:
            with pytest.raises(StaleSessionError):
                appending.append_event(session, an_event("x" * 300_000))
            assert texts(again(store)) == []
        assert commands.action is None
    left = store.backend.chunks.count_documents({})
    assert left == (on_stale == "append")
    store.delete_session(**NAMES)
    assert store.backend.chunks.count_documents({}) == 0


@pytest.mark.parametrize("lost", [0, 1, -1], ids=["first", "second", "last"])
def test_a_lost_chunk_is_an_error_that_names_the_session(
    make_store: Callable[..., MongoSessionStore], store: MongoSessionStore, lost: int
) -> None:
    filled(store, 300)
    chunk = sorted(store.backend.chunks.find({}, {"first": 1, "newest": 1}), key=lambda one: one["first"])[lost]
    store.backend.chunks.delete_one({"_id": chunk["_id"]})
    for config in ({}, {"after_timestamp": 0.0}, {"after_timestamp": chunk["newest"] - 1}, {"num_recent_events": 299}):
        with pytest.raises(CorruptRecordError, match="'one'"):
            again(store, **config)
    with pytest.raises(CorruptRecordError, match="'one'"):
        streamed(store)
    with pytest.raises(CorruptRecordError, match="'one'"):
        make_store(cache="1MB").get_session(**NAMES)
    assert len(again(store, num_recent_events=10).events) == 10


def test_a_chunk_that_was_never_cut_out_of_the_tail_is_not_met(store: MongoSessionStore) -> None:
    session = filled(store, 300)
    second = store.backend.chunks.find_one({"first": {"$gt": 0}}, sort=[("first", 1)])
    foreign = second["first"] - 3
    store.backend.chunks.insert_one({**second, "_id": second["_id"][:-12] + f"{foreign:012d}", "first": foreign})
    for config in ({}, {"after_timestamp": 0.0}, {"num_recent_events": 300}):
        assert again(store, **config).events == session.events
    assert streamed(store) == session.events


def test_a_large_event_deleted_while_it_is_read_is_no_damage(
    store: MongoSessionStore, server: Any, storage: dict[str, Any], commands: Commands
) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event("x" * 300_000))
    with MongoSessionStore(**storage, event_listeners=[commands]) as reading:
        reading.ensure_indexes()
        commands.before("find", store.backend.chunks.name, lambda: store.delete_session(**NAMES))
        assert reading.get_session(**NAMES) is None
        assert commands.action is None


@pytest.mark.parametrize("ahead", [1, limits.AHEAD, limits.AHEAD + 1])
def test_events_far_in_the_future_are_found_and_make_later_appends_no_slower(
    store: MongoSessionStore, server: Any, storage: dict[str, Any], commands: Commands, ahead: int
) -> None:
    session = store.create_session(**NAMES)
    early = again(store)
    future = [an_event(f"future {number}", at=4e9 + number) for number in range(ahead)]
    store.append_many((session, event) for event in future)
    store.append_many((session, an_event(f"then {number}", at=1000.0 + number)) for number in range(100))
    with MongoSessionStore(**storage, event_listeners=[commands]) as appending:
        appending.ensure_indexes()
        commands.count = 0
        for number in range(100):
            appending.append_event(session, an_event(str(number), at=2000.0 + number))
        if ahead <= limits.AHEAD:
            assert commands.count / 100 <= 1.1
    for event in future:  # appended again, they are recognised
        store.append_event(early, event.model_copy(deep=True))
    assert len(again(store).events) == 200 + ahead
    assert texts(again(store, after_timestamp=3e9)) == [f"future {number}" for number in range(ahead)]
    assert len(again(store, after_timestamp=2000.0).events) == 100 + ahead


def test_a_session_made_again_while_it_is_deleted_leaves_nothing_behind(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    def made_again() -> None:
        store.delete_session(**NAMES)
        filled(store, 100)

    store.create_session(**NAMES)
    before = Before("delete", "sessions", made_again)
    with MongoSessionStore(**storage, event_listeners=[before]) as deleting:
        deleting.delete_session(**NAMES)
    assert not before.left
    assert store.backend.sessions.count_documents({}) == store.backend.chunks.count_documents({}) == 0


def test_a_session_made_while_what_is_left_of_another_is_deleted_stays_whole(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    before = Before("aggregate", "event_chunks", lambda: filled(store, 100))
    with MongoSessionStore(**storage, event_listeners=[before]) as deleting:
        deleting.delete_session(**NAMES)
    assert not before.left
    assert len(again(store).events) == 100


@pytest.mark.parametrize("when", [Before, After])
def test_a_chunk_that_a_change_of_primary_took_back_is_written_again(
    store: MongoSessionStore,
    server: Any,
    storage: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    when: type[Before],
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ConnectionError("lost")

    session = filled(store, limits.TAIL_EVENTS)
    with monkeypatch.context() as patch:
        patch.setattr(documents, "with_cut", broken)
        with pytest.raises(ConnectionError):
            store.append_event(session, an_event("last"))
    gone = when("find", "event_chunks", lambda: store.backend.chunks.delete_many({}))
    with MongoSessionStore(**storage, event_listeners=[gone]) as appending:
        appending.append_event(session, an_event("last"))
    assert not gone.left
    assert texts(again(store)) == texts(session)


def test_a_tail_that_a_change_of_primary_took_back_replaces_no_chunk(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    session = filled(store, 1)
    snapshot = take(store)
    store.append_many((session, an_event("taken back")) for _ in range(1, limits.TAIL_EVENTS))
    kept: list[Session] = []

    def another_primary() -> None:
        put_back(store, snapshot)
        kept.append(again(store))
        store.append_many((kept[0], an_event("kept")) for _ in range(100))

    before = Before("insert", "event_chunks", another_primary)
    with MongoSessionStore(**storage, event_listeners=[before]) as appending, pytest.raises(StaleSessionError):
        appending.append_event(session, an_event("last"))
    assert texts(again(store)) == texts(kept[0])


@pytest.mark.parametrize(
    ("on_stale", "meanwhile", "bodies"),
    [("raise", "the same", 1), ("raise", "another", 0), ("append", "another", 1)],
)
def test_a_large_event_whose_writer_was_not_the_first_has_one_body_or_none(
    store: MongoSessionStore, server: Any, storage: dict[str, Any], on_stale: Any, meanwhile: str, bodies: int
) -> None:
    session, event = store.create_session(**NAMES), an_event("x" * 300_000)
    other, others = again(store), event.model_copy(deep=True) if meanwhile == "the same" else an_event()
    before = Before("update", "sessions", lambda: store.append_event(other, others))
    with MongoSessionStore(**storage, on_stale=on_stale, event_listeners=[before]) as appending:
        (outcome,) = appending.append_many([(session, event)])
    assert not before.left
    assert isinstance(outcome, StaleSessionError) == (bodies == 0)
    assert store.backend.chunks.count_documents({}) == bodies


def test_state_that_a_change_of_primary_took_back_is_not_stored_again(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    """A delta of many keys is stored with all other state, which is read for that."""
    session, delta = filled(store, 1), {str(number): 1 for number in range(limits.PATHS + 1)}
    other, snapshot = again(store), take(store)
    before = Before(
        "find", "sessions", lambda: None, lambda: store.append_event(other, an_event(delta={"taken back": 1}))
    )
    after = After("find", "sessions", lambda: None, lambda: put_back(store, snapshot))
    with MongoSessionStore(**storage, event_listeners=[before, after]) as appending:
        appending.append_event(session, an_event(delta=delta))
    assert not before.left and not after.left
    assert again(store).state == {"plan": "gold", **delta}
