"""Writing what is kept outside a session's document: chunks of older events, and large bodies.

Both belong to one session and expire after it, whoever writes it. docs/design.md,
"Expiry of chunks", has the order of writes that this relies on.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from pymongo import ReturnDocument

from adk_extra_sessions.backends.mongodb import bulk, documents, layout, limits
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Chunk, Head, digests
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.records import EventRecord, SessionKey

logger = logging.getLogger(__name__)


@frozen
class ChunkWriter:
    """Writes chunks and large bodies; asks sessions whether they still own them."""

    sessions: Any
    chunks: Any

    def write(self, heads: Sequence[Head], dates: Sequence[datetime]) -> list[Chunk | None]:
        """Copies the older part of each session's tail to a chunk; the append that follows then removes it there.

        May be repeated after a crash, and done by several writers at once: all use the chunk of the first one.

        Args:
            heads: Sessions as they were read.
            dates: When the chunk of each expires.

        Returns:
            The chunks as they are stored; None where a session is gone or has
            changed, so that it must be read again.

        Raises:
            pymongo.errors.PyMongoError: They could not be written, or did not reach the majority.
        """
        made = [documents.chunk(head, date) for head, date in zip(heads, dates, strict=True)]
        if bulk.insert(self.chunks, made):
            for chunk in made:
                logger.debug("%s: %d events were copied to a chunk.", chunk["session_id"], chunk["count"])
            return [Chunk.of(chunk, head.key) for head, chunk in zip(heads, made, strict=True)]
        return [self._stored(head, chunk) for head, chunk in zip(heads, made, strict=True)]

    def _stored(self, head: Head, chunk: Document) -> Chunk | None:
        """Returns what is stored under a chunk's id if it has the events of this tail; otherwise replaces it."""
        document = self.chunks.find_one({name: chunk[name] for name in ("_id", "app_name", "user_id")})
        if document is None:
            return None
        found = Chunk.of(document, head.key)
        if digests(found.events) == digests(head.tail[: found.count]):
            return found if bulk.confirm(self.chunks, found.as_read()) else None
        # Copied from a tail that a change of primary took back: no session has these events.
        if not bulk.confirm(self.sessions, head.as_read()):
            return None
        self.chunks.delete_one(found.as_read())
        return Chunk.of(chunk, head.key) if bulk.insert(self.chunks, [chunk]) else None

    def store_bodies(self, head: Head, events: Sequence[EventRecord], expires_at: datetime) -> dict[bytes, str]:
        """Stores bodies too large for a tail; returns their ids, new ones each time, by digest."""
        ids = {}
        for event in events:
            if len(event.body) > limits.BODY_BYTES:
                document = documents.large_body(head, event, uuid.uuid4().hex, expires_at)
                self.chunks.insert_one(document)
                ids[event.digest] = document["_id"]
        return ids

    def drop_bodies(self, key: SessionKey, ids: Iterable[str]) -> None:
        """Removes large bodies whose event was refused after all."""
        for one in ids:
            self.chunks.delete_one({"_id": one, "app_name": key.app_name, "user_id": key.user_id})

    def keep(self, head: Head, until: datetime) -> None:
        """Lets no chunk expire before a date; to be done before the session may live that long.

        It holds for an update of the session that is sent `as_read`.
        """
        selected = {**head.owner, "fence": {"$lte": head.chunks_fence}}
        self.chunks.update_many(selected, {"$max": {"expires_at": until}, "$set": {"fence": head.chunks_fence}})

    @retried
    def settle(self, head: Head) -> None:
        """Lets no chunk expire later than its session says; to be done after `keep`, and after a cut that failed.

        It raises the session's fencing token, so that an update after an
        earlier `keep` no longer matches. Chunks that were kept with the new
        token or a later one are left alone. If the session is gone, so are its
        chunks.
        """
        fields = {"chunks_fence": 1, "chunks_expire_at": 1}
        found = self.sessions.find_one_and_update(
            head.identity, {"$inc": {"chunks_fence": 1}}, fields, return_document=ReturnDocument.AFTER
        )
        if found is None:
            self.delete(head.owner)
            return
        earlier = {**head.owner, "fence": {"$lt": found["chunks_fence"]}}
        self.chunks.update_many(earlier, {"$set": {"expires_at": found["chunks_expire_at"]}})

    def delete(self, owner: Document) -> None:
        """Deletes the chunks and large bodies of a session that is gone, but none of one created later."""
        self.chunks.delete_many(owner)

    def delete_if_gone(self, head: Head) -> bool:
        """Deletes what an append has written for a session that was deleted meanwhile; returns whether it was."""
        gone = not bulk.confirm(self.sessions, head.identity)
        if gone:
            self.delete(head.owner)
        return gone

    def delete_orphans(self, key: SessionKey) -> None:
        """Deletes what an interrupted deletion of a session left behind."""
        owner = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        for found in list(self.chunks.aggregate([{"$match": owner}, {"$group": {"_id": "$start_revision"}}])):
            start_revision = found["_id"]
            # Asked after the chunk was seen: a session that owns it is there, or was deleted.
            if not bulk.confirm(self.sessions, {**layout.session_filter(key), "start_revision": start_revision}):
                self.delete({**owner, "start_revision": start_revision})
                logger.info("%s: deleted events that an interrupted deletion had left.", key)
