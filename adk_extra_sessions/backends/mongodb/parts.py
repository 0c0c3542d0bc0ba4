"""Reading parts of a history: by its outline, in one message or, where some is in chunks, in two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.mongodb import guards, layout
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.paging import documents_of
from adk_extra_sessions.backends.mongodb.parsing import Chunk, Head, damaged
from adk_extra_sessions.backends.mongodb.reading import Reader
from adk_extra_sessions.backends.mongodb.session_parsing import record_of
from adk_extra_sessions.backends.stored_format import check_format
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.history.outline import NewOutline, Outline, OutlineName, Part, Run
from adk_extra_sessions.records import SessionKey, Window

CHUNK_EVENTS = 128
"""More events than a chunk has: a position is in one of the chunks that begin so many before it, or later."""

SINGLE_EVENTS = 256
"""Events in chunks that the server picks out one by one, at most."""


@frozen
class Parts:
    """Reads parts of histories, and stores outlines.

    Attributes:
        reader: Reads sessions.
    """

    sessions: Any
    history: History
    reader: Reader

    def read(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> Part | None:
        """Reads a part of a history; see `ReadsParts.read_part`."""
        missing = CorruptRecordError(f"{key}: events before its newest ones are missing.")
        for _ in range(3):  # a session deleted while it is read is read again, to find it gone
            session = self.reader.with_shared_state(key, Window())
            if session is None or guards.is_expired(session.get("expires_at"), self.reader.expiry):
                return None
            check_format(session.get("format"), key)
            head = Head.of(session, key)
            outline = _outline(session, name, key)
            try:
                runs = self._runs(head, _wanted(head, outline, recent))
            except CorruptRecordError as error:
                missing = error
                continue
            shared = self.reader.shared.view(session["shared"], head.pending, key)
            record = record_of(session, key, shared)
            newest = head.tail[-1]["digest"] if head.tail else None
            long_running = int(session.get("long_running", 0))
            return Part(record, head.start_revision, runs, head.first_position, head.end, long_running, outline, newest)
        raise missing

    def store_outline(self, key: SessionKey, new: NewOutline) -> None:
        """Stores an outline; see `ReadsParts.store_outline`."""
        outline = new.outline
        last = {"$arrayElemAt": ["$tail.digest", {"$subtract": [outline.upto - 1, "$tail_first"]}]}
        there = {"start_revision": new.start_revision, "$expr": {"$eq": [last, new.newest]}}
        stored = {
            "upto": outline.upto,
            "long_running": outline.long_running,
            "start": outline.start,
            "kept": [list(one) for one in outline.kept],
        }
        self.sessions.update_one({**layout.session_filter(key), **there}, {"$set": {f"outlines.{new.name}": stored}})

    def _runs(self, head: Head, wanted: Sequence[tuple[int, int]]) -> list[Run]:
        """Reads events by their first positions, and those after the last."""
        in_chunks = [(first, min(end, head.tail_first)) for first, end in wanted if first < head.tail_first]
        events = dict(self._in_chunks(head, in_chunks)) if in_chunks else {}
        events.update(enumerate(head.tail, head.tail_first))
        runs = []
        for first, end in wanted:
            found = [events[position] for position in range(first, end) if position in events]
            if len(found) != end - first:
                raise CorruptRecordError(f"{head.key}: some of the events {first} to {end - 1} are missing.")
            runs.append(Run(first, self.history.bodies(found, head.key, first)))
        return runs

    def _in_chunks(self, head: Head, wanted: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Document]]:
        """Yields positions and events; the server sends no others, unless most of the chunks are wanted anyway."""
        ids = [{"_id": _chunk_ids(head, first, end)} for first, end in wanted]
        selected = {"app_name": head.key.app_name, "user_id": head.key.user_id, "$or": ids}
        positions = [position for first, end in wanted for position in range(first, end)]
        if len(positions) > SINGLE_EVENTS:
            for document in documents_of(self.history.chunks.find(selected)):
                chunk = Chunk.of(document, head.key)
                yield from enumerate(chunk.events, chunk.first)
            return
        after = {"$add": ["$first", "$count"]}
        here = {"$and": [{"$gte": ["$$at", "$first"]}, {"$lt": ["$$at", after]}]}
        at_them = {"$filter": {"input": positions, "as": "at", "cond": here}}
        event = {"$arrayElemAt": ["$events", {"$subtract": ["$$at", "$first"]}]}
        found = {"$map": {"input": at_them, "as": "at", "in": {"at": "$$at", "event": event}}}
        for document in self.history.chunks.aggregate([{"$match": selected}, {"$project": {"found": found}}]):
            for one in document["found"]:
                yield one["at"], one["event"]


def _chunk_ids(head: Head, first: int, end: int) -> Document:
    """Selects the chunks that may have some events, by their ids."""
    from_id = layout.chunk_id(head.chunk_prefix, max(0, first - CHUNK_EVENTS))
    return {"$gte": from_id, "$lte": layout.chunk_id(head.chunk_prefix, end - 1)}


def _outline(session: Document, name: OutlineName | None, key: SessionKey) -> Outline | None:
    """Returns a stored outline.

    Raises:
        CorruptRecordError: It cannot be read.
    """
    try:
        found = session.get("outlines", {}).get(name)
        if found is None:
            return None
        kept = tuple((int(first), int(last)) for first, last in found["kept"])
        return Outline(int(found["upto"]), int(found["long_running"]), int(found["start"]), kept)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise damaged(key) from None


def _wanted(head: Head, outline: Outline | None, recent: int | None) -> list[tuple[int, int]]:
    """Returns the ranges of positions to be read, each without its end."""
    begin = head.end - recent if recent is not None else outline.start if outline else 0
    begin = min(max(begin, head.first_position), head.end)
    kept = [(max(first, head.first_position), min(last + 1, begin)) for first, last in outline.kept] if outline else []
    return [(first, end) for first, end in [*kept, (begin, head.end)] if first < end]
