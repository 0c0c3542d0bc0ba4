"""Tails, chunks and large bodies: long histories on MongoDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.adk.sessions.base_session_service import GetSessionConfig
from support.histories import NAMES, filled
from support.sent_commands import SentCommands

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import documents, limits
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.errors import EventTooLargeError, SessionNotFoundError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import an_event, texts


def test_long_histories_cost_few_messages_more(make_store: Callable[..., MongoSessionStore], server: Any) -> None:
    sent = SentCommands()
    store = make_store(event_listeners=[sent])
    session = store.create_session(**NAMES)
    sent.names.clear()
    for number in range(300):
        store.append_event(session, an_event(str(number)))
    assert 300 <= len(sent.names) <= 330


def test_of_a_cached_history_only_the_end_is_read_in_one_message(
    store: MongoSessionStore, make_store: Callable[..., MongoSessionStore], server: Any
) -> None:
    def bytes_out() -> int:
        return int(store.client.admin.command("serverStatus")["network"]["bytesOut"])

    sent = SentCommands()
    cached = make_store(cache="10MB", event_listeners=[sent])
    session = store.create_session(**NAMES)
    store.append_many((session, an_event("x" * 500)) for _ in range(1000))
    cached.get_session(**NAMES)
    store.append_many((session, an_event("x" * 500)) for _ in range(4))
    before = bytes_out()
    sent.names.clear()
    for _ in range(20):
        cached.get_session(**NAMES)
    assert len(sent.names) == 20
    assert (bytes_out() - before) / 20 < 100_000
    assert cached.get_session(**NAMES) == store.get_session(**NAMES)


def test_the_tail_keeps_the_newest_and_chunks_the_rest(store: MongoSessionStore) -> None:
    filled(store, 330)
    (session,) = store.backend.sessions.find()
    assert limits.KEPT_EVENTS <= session["tail_count"] == len(session["tail"]) <= limits.TAIL_EVENTS
    chunks = sorted(store.backend.chunks.find(), key=lambda chunk: chunk["first"])
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
    (stored,) = store.backend.sessions.find()
    assert stored["tail_bytes"] <= limits.TAIL_BYTES
    found = store.get_session(**NAMES)
    assert found == session
    assert [len(text or "") for text in texts(found)] == sizes
    store.delete_session(**NAMES)
    assert store.backend.chunks.count_documents({}) == 0


def test_an_event_over_the_limit_is_refused_with_its_size(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event("y" * 15_000_000))
    with pytest.raises(EventTooLargeError, match="20,000,") as error:
        store.append_event(session, an_event("x" * 20_000_000, delta={"a": 1}))
    assert error.value.size > 20_000_000 and error.value.limit == limits.DOCUMENT_BYTES
    assert session.state == {}
    found = store.get_session(**NAMES)
    assert found is not None and len(found.events) == 1
    store.append_event(session, an_event("after"))


def append_from(session: Any, store: MongoSessionStore, start: int) -> None:
    for number in range(start, start + 20):
        store.append_event(session, an_event(str(number), at=1000.0 + number))


@pytest.mark.parametrize("stored", [55, 195], ids=["first-move", "later-move"])
def test_a_chunk_move_may_stop_anywhere(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch, stored: int) -> None:
    session = filled(store, stored)
    cut = documents.with_cut

    def broken(*arguments: Any) -> Any:
        raise ConnectionError("lost")

    monkeypatch.setattr(documents, "with_cut", broken)
    chunks = store.backend.chunks.count_documents({})
    for _ in range(2):
        with pytest.raises(ConnectionError):
            append_from(session, store, len(session.events))
    assert store.backend.chunks.count_documents({}) == chunks + 1
    found = store.get_session(**NAMES)
    assert found is not None
    assert texts(found) == texts(session)
    half = store.get_session(**NAMES, config=GetSessionConfig(after_timestamp=1010.0))
    assert half is not None
    assert texts(half) == texts(session)[10:]
    recent = store.get_session(**NAMES, config=GetSessionConfig(num_recent_events=len(session.events) - 3))
    assert recent is not None
    assert texts(recent) == texts(session)[3:]
    monkeypatch.setattr(documents, "with_cut", cut)
    append_from(session, store, len(session.events))
    found = store.get_session(**NAMES)
    assert found is not None
    assert texts(found) == texts(session)


def test_chunks_and_large_bodies_outlive_their_session(
    make_store: Callable[..., MongoSessionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(ttl=60)
    session = store.create_session(**NAMES)
    now = store.backend.expiry.now()
    clock = [now]
    monkeypatch.setattr(type(store.backend.expiry), "now", lambda self: clock[0])
    store.append_event(session, an_event("x" * 300_000))
    for step in range(40):
        clock[0] = now + timedelta(seconds=5 * step)
        store.append_many((session, an_event(f"{step}.{number}")) for number in range(15))
        (head,) = store.backend.sessions.find({}, {"expires_at": 1})
        dates = [chunk["expires_at"] for chunk in store.backend.chunks.find({}, {"expires_at": 1})]
        assert head["expires_at"] == clock[0] + timedelta(seconds=60)
        assert all(timedelta(seconds=30) <= date - head["expires_at"] <= timedelta(seconds=120) for date in dates)
    assert len(store.backend.chunks.distinct("_id")) > 5


def test_a_late_writers_date_does_not_replace_a_newer_writers(store: MongoSessionStore) -> None:
    filled(store, limits.TAIL_EVENTS + 1)
    writer, now = ChunkWriter(store.backend.sessions, store.backend.chunks), store.backend.expiry.now()
    late, newer = (
        Head.of({**store.backend.sessions.find_one({}), "chunks_fence": fence}, SessionKey(*NAMES.values()))
        for fence in (1, 2)
    )
    for head, hours in ((late, 1), (newer, 2), (late, 3)):
        writer.keep(head, now + timedelta(hours=hours))
    (chunk,) = store.backend.chunks.find({})
    assert chunk["fence"] == 2


def test_an_append_that_meets_a_deletion_leaves_nothing_behind(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = filled(store, 100)
    write = ChunkWriter.write

    def then_deleted(self: ChunkWriter, *arguments: Any) -> Any:
        written = write(self, *arguments)
        late = store.backend.chunks.find_one({"first": written[0].first})
        store.delete_session(**NAMES)
        store.backend.chunks.insert_one(late)  # as if it had been written just after the deletion
        return written

    monkeypatch.setattr(ChunkWriter, "write", then_deleted)
    with pytest.raises(SessionNotFoundError):
        store.append_event(session, an_event())
    assert store.backend.chunks.count_documents({}) == 0


def test_deleting_what_is_gone_removes_what_was_left(store: MongoSessionStore) -> None:
    filled(store, 180)
    store.backend.sessions.delete_one({})
    session = filled(store, 180)
    store.backend.sessions.update_one({}, {"$set": {"session_id": "one"}})
    chunks = store.backend.chunks.count_documents({})
    store.delete_session(**NAMES)
    store.delete_session(**NAMES)
    assert chunks > 2
    assert store.backend.chunks.count_documents({}) == 0
    assert session.id == "one"
