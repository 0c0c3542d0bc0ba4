"""Batched appends to sessions whose tails are full: each update also removes the events that a chunk has.

One query for the tails, one insert of chunks, one command of updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from attrs import frozen

from adk_extra_sessions.backends.mongodb import bulk, documents, guards, layout
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.paging import of_sessions, portions
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.backends.stored_format import check_format

AT_ONCE = 32
"""Tails that are held in memory together; each has a few megabytes at most."""


@frozen
class Batched:
    """An append of a batch, and the update that stores it."""

    append: OngoingAppend
    update: bulk.Update


@frozen
class Overflow:
    """Appends that move events to a chunk."""

    sessions: Any
    chunks: ChunkWriter
    expiry: Expiry

    def append(self, refused: Sequence[Batched]) -> list[bool]:
        """Stores those that only a full tail has prevented; returns which are stored.

        Raises:
            CorruptRecordError: A session is damaged; others may be stored.
            pymongo.errors.PyMongoError: Something failed; others may be stored.
        """
        return [done for portion in portions(refused, AT_ONCE, 1, lambda one: 0) for done in self._append(portion)]

    def _append(self, refused: Sequence[Batched]) -> list[bool]:
        keys = [one.append.request.key for one in refused]
        found = of_sessions(self.sessions, keys, documents.WITHOUT_STATE)
        heads = {}
        for index, key in enumerate(keys):
            document = found.get(layout.session_id(key))
            if document is not None:
                check_format(document.get("format"), key)
                head = Head.of(document, key)
                if guards.lacks_only_room(head, refused[index].append.request, self.expiry.of(head.lifetime)):
                    heads[index] = head
        done = bool(heads) and self._cut([refused[index].update for index in heads], [*heads.values()])
        return [done and index in heads for index in range(len(refused))]

    def _cut(self, updates: Sequence[bulk.Update], heads: Sequence[Head]) -> bool:
        """Sends updates that also move events to chunks; returns whether all are stored."""
        dates = [self.expiry.of(head.lifetime).chunks_expire_at() for head in heads]
        cuts = [
            attrs.evolve(one, filter=head.as_read(), update=documents.with_cut(one.update, head, chunk.events, date))
            for one, head, date, chunk in zip(updates, heads, dates, self.chunks.write(heads, dates), strict=True)
            if chunk is not None and chunk.expires_as(head, date)
        ]
        if len(cuts) == len(updates) == bulk.send(self.sessions, cuts):
            return True
        for head in heads:
            self.chunks.settle(head)
        return False
