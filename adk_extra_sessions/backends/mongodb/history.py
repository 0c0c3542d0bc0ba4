"""Events older than a session's tail: moving them to chunks, and reading them back.

Reading first takes the session's document, then the chunks before its tail. A
chunk is written before the tail is cut and never changed after that, so between
the two no event is missing and none is met twice.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from attrs import field, frozen
from pymongo import ReturnDocument

from adk_extra_sessions.backends.damaged import DAMAGE
from adk_extra_sessions.backends.mongodb import bulk, documents
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.paging import pages as pages_of_ids
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.records import EventRecord, SessionKey, SessionRecord, Window

logger = logging.getLogger(__name__)


CHUNKS = 4
"""Chunks that one round trip reads; each may fill a document."""


@frozen
class Found:
    """Events read, oldest first.

    Attributes:
        first: Position in the full history of the first of them.
        complete: Whether none is missing from there on.
    """

    events: list[Document] = field(repr=False)
    first: int
    complete: bool


@frozen
class History:
    """The `event_chunks` of sessions, and their tails."""

    sessions: Any
    chunks: Any

    def copy(self, heads: Sequence[Document], chunks: Sequence[Document]) -> Sequence[Document | None]:
        """Writes the chunks that `oldest` makes of tails; the appends that follow then cut them from these.

        Can be done again after a crash, and by several at once: the first one's chunk is everybody's.

        Args:
            heads: Sessions as they were read.
            chunks: What is to be written for each.

        Returns:
            The chunks as they are stored; None where a session is gone or has
            changed, so that it must be read again.

        Raises:
            pymongo.errors.PyMongoError: They could not be written, or did not reach the majority.
        """
        if not bulk.insert(self.chunks, chunks):
            return [self._stored(head, chunk) for head, chunk in zip(heads, chunks, strict=True)]
        for chunk in chunks:
            logger.debug("%s: %d events were copied to a chunk.", chunk["session_id"], chunk["count"])
        return chunks

    def _stored(self, head: Document, chunk: Document) -> Document | None:
        """Returns what is stored under a chunk's id if it has the events of this tail; else replaces it."""
        found = self.chunks.find_one(_selected(chunk))
        if found is None:
            return None
        if _digests(found["events"]) == _digests(head["tail"][: found["count"]]):
            return found if bulk.confirm(self.chunks, documents.chunk_as_read(found)) else None
        # Copied from a tail that a change of primary took back: no session has these events.
        if not bulk.confirm(self.sessions, documents.as_read(head)):
            return None
        self.chunks.delete_one(documents.chunk_as_read(found))
        return chunk if bulk.insert(self.chunks, [chunk]) else None

    def read(self, session: Document, key: SessionKey, window: Window) -> Found:
        """Reads the events of a window that are not in the session's (maybe shortened) tail too."""
        total = session["tail_first"] + session["tail_count"]
        wanted = total if window.recent is None else min(window.recent, total)
        tail = session.get("tail", [])
        if wanted == 0:
            return Found([], total, True)
        if len(tail) < min(session["tail_count"], wanted) or session["revision"] - session["base"] != total:
            return Found([], total, False)
        if total - wanted >= session["tail_first"]:
            return Found(tail[-wanted:], total - wanted, len(tail) >= wanted)
        if window.after is not None:
            return self._since(session, window.after, total - wanted)
        older = self._older(session, total - wanted)
        events = older + tail
        return Found(events[-wanted:], total - wanted, len(events) >= wanted)

    def locate(self, session: Document, events: Sequence[EventRecord]) -> dict[bytes, int]:
        """Finds events that were moved to chunks, and there for good: their positions by digest."""
        positions: dict[bytes, int] = {}
        for event in events:
            wanted = event.digest
            moved = {"newest": {"$gte": event.timestamp}, "first": {"$lt": session["tail_first"]}}
            selected = {**chunks_of(session), **moved, "events.digest": wanted}
            found = self.chunks.find_one(selected, {"first": 1, "events.digest": 1})
            if found:
                index = _digests(found["events"]).index(wanted)
                if bulk.confirm(self.chunks, {**selected, f"events.{index}.digest": wanted, "_id": found["_id"]}):
                    positions[wanted] = found["first"] + index
        return positions

    def store_blobs(self, session: Document, events: Sequence[EventRecord], expires_at: datetime) -> dict[bytes, str]:
        """Stores bodies too large for a tail; returns their ids, new ones each time, by digest."""
        blobs = {}
        for event in events:
            if len(event.body) > documents.INLINE_BYTES:
                blob = blobs[event.digest] = f"{documents.chunk_prefix(session)}+body/{uuid.uuid4().hex}"
                body = event.body.decode()
                expiry = {"expires_at": expires_at, "fence": session["chunks_fence"]}
                self.chunks.insert_one({"_id": blob, **_owned(session), **expiry, "body": body})
        return blobs

    def drop_blobs(self, key: SessionKey, ids: Sequence[str]) -> None:
        """Removes bodies whose event was refused after all."""
        for blob in ids:
            self.chunks.delete_one({"_id": blob, "app_name": key.app_name, "user_id": key.user_id})

    def bodies(self, events: Sequence[Document], key: SessionKey, first: int) -> list[str]:
        """Returns the bodies of events, fetching those that are stored apart.

        Raises:
            CorruptRecordError: One is missing.
        """
        ids = [event["blob"] for event in events if "blob" in event]
        blobs = {}
        if ids:
            selected = {"_id": {"$in": ids}, "app_name": key.app_name, "user_id": key.user_id}
            blobs = {found["_id"]: found["body"] for found in self.chunks.find(selected)}
        bodies = []
        for position, event in enumerate(events, first):
            body = event.get("body", blobs.get(event.get("blob")))
            if not isinstance(body, str):
                raise CorruptRecordError(f"{describe(key)}: the body of the event at position {position} is missing.")
            bodies.append(body)
        return bodies

    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        """Reads the events before those of a record, oldest first, some chunks at a time."""
        key = record.key
        head = {
            "_id": documents.session_id(key),
            "app_name": key.app_name,
            "user_id": key.user_id,
            "base": record.revision - record.first - len(record.bodies),
        }
        position = 0
        while position < record.first:
            start = position
            for bodies in self._in_chunks(head, key, position, record.first):
                yield bodies
                position += len(bodies)
            if position < record.first:  # the tail is longer than what was read of it
                bodies = self._in_tail(head, key, position, record.first)
                yield bodies
                position += len(bodies)
            if position == start:
                raise CorruptRecordError(f"{describe(key)}: the event at position {position}, or its body, is missing.")

    def _in_chunks(self, head: Document, key: SessionKey, position: int, end: int) -> Iterator[Sequence[str]]:
        """Reads the events from a position on that are in chunks, as far as none is missing."""
        for found in chain.from_iterable(pages_of_ids(self.chunks, chunks_of(head), CHUNKS)):
            try:
                if found["first"] < position:
                    continue  # read already, or never cut out of a tail
                events = found["events"][: end - position] if found["first"] == position else []
                bodies = self.bodies(events, key, position)
            except DAMAGE:
                return
            if not bodies:
                return
            yield bodies
            position += len(bodies)

    def _in_tail(self, head: Document, key: SessionKey, position: int, end: int) -> Sequence[str]:
        """Reads the events from a position on that are in the session's tail; none if that begins later."""
        session = self.sessions.find_one(head, {"tail": 1, "tail_first": 1})
        if session is None:
            raise SessionNotFoundError(f"{describe(key)} was deleted while it was read.")
        first = session["tail_first"]
        events = session["tail"][position - first : end - first] if first <= position else []
        return self.bodies(events, key, position)

    def keep(self, session: Document, until: datetime) -> None:
        """Lets no chunk expire before a date; to be done before the session may live that long.

        It holds for an update of the session that is sent `as_read`.
        """
        fence = session["chunks_fence"]
        selected = {**_owned(session), "fence": {"$lte": fence}}
        self.chunks.update_many(selected, {"$max": {"expires_at": until}, "$set": {"fence": fence}})

    @retried
    def settle(self, session: Document) -> None:
        """Lets no chunk expire later than its session says; to be done after `keep`, and after a cut that failed.

        It raises the session's fencing token, so that an update after an
        earlier `keep` no longer matches. Chunks that were kept with the new
        token or a later one are left alone. If the session is gone, so are its
        chunks.
        """
        there = {name: session[name] for name in ("_id", "app_name", "user_id", "base")}
        fields = {"chunks_fence": 1, "chunks_expire_at": 1}
        found = self.sessions.find_one_and_update(
            there, {"$inc": {"chunks_fence": 1}}, fields, return_document=ReturnDocument.AFTER
        )
        if found is None:
            self.delete(session)
            return
        until = found["chunks_expire_at"]
        late = {**_owned(session), "fence": {"$lt": found["chunks_fence"]}, "expires_at": {"$gt": until}}
        self.chunks.update_many(late, {"$set": {"expires_at": until}})

    def delete(self, session: Document) -> None:
        """Deletes the chunks of a session that is gone, but none of one created later under its id."""
        self.chunks.delete_many(_owned(session))

    def delete_if_gone(self, session: Document) -> bool:
        """Deletes what an append has written for a session that was deleted meanwhile; returns whether it was."""
        gone = not bulk.confirm(self.sessions, {name: session[name] for name in ("_id", "app_name", "user_id", "base")})
        if gone:
            self.delete(session)
        return gone

    def delete_orphans(self, key: SessionKey) -> None:
        """Deletes chunks that an interrupted deletion left behind."""
        owner = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        for base in [
            found["_id"] for found in self.chunks.aggregate([{"$match": owner}, {"$group": {"_id": "$base"}}])
        ]:
            # Asked after the chunk was seen: a session that owns it is there, or was deleted.
            if not bulk.confirm(self.sessions, {**documents.session_filter(key), "base": base}):
                self.chunks.delete_many({**owner, "base": base})
                logger.info("%s: deleted events that an interrupted deletion had left.", describe(key))

    def _older(self, session: Document, start: int) -> list[Document]:
        cursor = self.chunks.find(chunks_of(session)).sort("_id", -1)
        parts: list[list[Document]] = []
        expected = session["tail_first"]
        for found in cursor:
            if found["first"] + found["count"] != expected:
                continue  # written, and not or never cut out of the tail
            parts.append(found["events"])
            expected = found["first"]
            if expected <= start:
                break
        return [event for part in reversed(parts) for event in part]

    def _since(self, session: Document, after: float, start: int) -> Found:
        older: list[Document] = []
        complete = True
        if documents.newest_in_chunks(session) >= after:
            moved = {**_owned(session), "first": {"$lt": session["tail_first"]}}
            recent = self.chunks.find({**moved, "newest": {"$gte": after}})
            for found in sorted(recent, key=lambda one: int(one["first"])):
                older += found["events"][max(0, start - found["first"]) :]
            if self._events_in(moved) != session["tail_first"]:
                # One is missing, or too many: only the whole row of them tells.
                older = self._older(session, start)
                complete = len(older) >= session["tail_first"] - start
        events = [event for event in [*older, *session["tail"]] if event["timestamp"] >= after]
        return Found(events, start, complete)

    def _events_in(self, chunks: Document) -> int:
        """Counts the events in chunks, by their index alone."""
        total = {"_id": None, "events": {"$sum": "$count"}}
        counted = list(self.chunks.aggregate([{"$match": chunks}, {"$group": total}]))
        return int(counted[0]["events"]) if counted else 0


def _digests(events: Sequence[Document]) -> list[bytes]:
    return [bytes(event["digest"]) for event in events]


def _selected(document: Document) -> Document:
    return {name: document[name] for name in ("_id", "app_name", "user_id")}


def chunks_of(session: Document) -> Document:
    """Selects a session's chunks."""
    owner = {"app_name": session["app_name"], "user_id": session["user_id"]}
    return {"_id": documents.below(documents.chunk_prefix(session)), **owner}


def _owned(session: Document) -> Document:
    return {name: session[name] for name in ("app_name", "user_id", "session_id", "base")}


def same_expiry(one: Document, other: Document) -> bool:
    """Whether two chunks expire at the same time, and were given that date with the same fencing token."""
    return (one["expires_at"], one["fence"]) == (other["expires_at"], other["fence"])


def oldest(session: Document, expires_at: datetime) -> Document:
    """Returns the chunk of the older part of a session's tail."""
    kept = 0
    size = 0
    for event in reversed(session["tail"]):
        size += len(event.get("body", "").encode())
        if kept == documents.KEEP or size > documents.TAIL_BYTES // 2:
            break
        kept += 1
    return documents.chunk(session, max(1, len(session["tail"]) - kept), expires_at)
