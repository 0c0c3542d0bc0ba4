"""Reading a session's events: the newest are in its tail, the older ones in chunks, very large bodies apart.

The session's document is read first, then the chunks before its tail. A chunk
is written before the tail is cut and never changed after that, so between the two no event is
missing and none comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from attrs import field, frozen

from adk_extra_sessions.backends.mongodb import bulk, documents, layout
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.paging import documents_of, newest_first, pages
from adk_extra_sessions.backends.mongodb.parsing import Chunk, Head, digests
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.records import EventRecord, SessionKey, SessionRecord, Window

AT_ONCE = 4
"""Chunks that one round trip of a whole copy reads; each may fill a document."""


@frozen
class Found:
    """Events read, oldest first.

    Attributes:
        first: Position of the first of them.
        complete: Whether none is missing from there on.
    """

    events: list[Document] = field(repr=False)
    first: int
    complete: bool


@frozen
class History:
    """The events in tails and chunks."""

    sessions: Any
    chunks: Any

    def read(self, head: Head, window: Window) -> Found:
        """Reads the events of a window. The session's tail need not have more of them than the window."""
        there = head.end - head.first_position
        wanted = there if window.recent is None else min(window.recent, there)
        first = head.end - wanted
        if wanted == 0:
            return Found([], head.end, True)
        if len(head.tail) < min(head.tail_count, wanted):
            return Found([], head.end, False)
        if first >= head.tail_first:
            return Found(head.tail[-wanted:], first, True)
        if window.after is not None:
            return self._since(head, window.after, first)
        events = self._older(head, first) + head.tail
        return Found(events[-wanted:], first, len(events) >= wanted)

    def _older(self, head: Head, first: int) -> list[Document]:
        """Reads the events before the tail from a position on, and maybe some before it."""
        parts: list[list[Document]] = []
        expected = head.tail_first
        for document in newest_first(self.chunks, head.chunk_range):
            found = Chunk.of(document, head.key)
            if found.first + found.count != expected:
                continue  # written, and not or never cut out of the tail
            parts.append(found.events)
            expected = found.first
            if expected <= first:
                break
        return [event for part in reversed(parts) for event in part]

    def _since(self, head: Head, after: float, first: int) -> Found:
        older: list[Document] = []
        complete = True
        if max([head.chunked_until, *(float(one["timestamp"]) for one in head.ahead)]) >= after:
            moved = {**head.owner, "first": {"$lt": head.tail_first}}
            newer = self.chunks.find({**moved, "newest": {"$gte": after}})
            recent = [Chunk.of(one, head.key) for one in documents_of(newer)]
            for found in sorted(recent, key=lambda one: one.first):
                older += found.events[max(0, first - found.first) :]
            if self._events_in(moved) != head.tail_first - head.first_position:
                # One is missing, or there are too many: only all of them together show that.
                wanted = head.tail_first - first
                older = self._older(head, first)[-wanted:]
                complete = len(older) == wanted
        return Found([event for event in [*older, *head.tail] if event["timestamp"] >= after], first, complete)

    def _events_in(self, selected: Document) -> int:
        """Counts the events in chunks, by their index alone."""
        total = {"_id": None, "events": {"$sum": "$count"}}
        counted = list(self.chunks.aggregate([{"$match": selected}, {"$group": total}]))
        return int(counted[0]["events"]) if counted else 0

    def locate(self, head: Head, events: Sequence[EventRecord]) -> dict[bytes, int]:
        """Finds events that were moved to chunks, and there for good: their positions by digest."""
        positions: dict[bytes, int] = {}
        for event in events:
            moved = {"newest": {"$gte": event.timestamp}, "first": {"$lt": head.tail_first}}
            selected = {**head.chunk_range, **moved, "events.digest": event.digest}
            document = self.chunks.find_one(selected, {"events.body": 0})
            if document:
                found = Chunk.of(document, head.key)
                if bulk.confirm(self.chunks, found.as_read()):
                    positions[event.digest] = found.first + digests(found.events).index(event.digest)
        return positions

    def bodies(self, events: Sequence[Document], key: SessionKey, first: int) -> list[bytes | str]:
        """Returns the bodies of events, fetching those that are stored apart.

        Raises:
            CorruptRecordError: One is missing.
        """
        ids = [event["body_id"] for event in events if "body_id" in event]
        apart = {}
        if ids:
            selected = {"_id": {"$in": ids}, "app_name": key.app_name, "user_id": key.user_id}
            apart = {found["_id"]: found.get("body") for found in documents_of(self.chunks.find(selected))}
        bodies: list[bytes | str] = []
        for position, event in enumerate(events, first):
            body = event.get("body", apart.get(event.get("body_id")))
            if not isinstance(body, (bytes, str)):
                raise CorruptRecordError(f"{key}: the body of the event at position {position} is missing.")
            bodies.append(body)
        return bodies

    def earlier(self, record: SessionRecord) -> Iterator[list[bytes | str]]:
        """Yields the bodies of the events before those of a record, oldest first, some chunks at a time.

        Raises:
            SessionNotFoundError: The session was deleted meanwhile.
            CorruptRecordError: An event is missing.
        """
        key = record.key
        gone = SessionNotFoundError(f"{key} was deleted while it was read.")
        document = self.sessions.find_one(layout.session_filter(key), documents.WITHOUT_STATE)
        head = Head.of(document, key) if document is not None else None
        if head is None or head.start_revision > record.revision:  # created again
            raise gone
        position = head.first_position
        with suppress(CorruptRecordError):
            for bodies in self._pages(head, record.first):
                yield bodies
                position += len(bodies)
        if position != record.first:
            if self.sessions.find_one(head.identity, {"_id": 1}) is None:
                raise gone
            raise CorruptRecordError(f"{key}: the event at position {position}, or its body, is missing.")

    def _pages(self, head: Head, end: int) -> Iterator[list[bytes | str]]:
        position = head.first_position
        for document in chain.from_iterable(pages(self.chunks, head.chunk_range, AT_ONCE)):
            found = Chunk.of(document, head.key)
            if found.first + found.count <= position or position > max(found.first, head.first_position):
                continue  # never cut out of a tail
            if not found.first <= position < min(end, head.tail_first):
                break
            events = found.events[position - found.first : end - found.first]
            yield self.bodies(events, head.key, position)
            position += len(events)
        if position == head.tail_first < end:
            yield self.bodies(head.tail[: end - position], head.key, position)
