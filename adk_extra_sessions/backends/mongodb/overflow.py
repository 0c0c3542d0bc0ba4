"""Making room in the full tails of many sessions at once, as part of appending to them.

One query for the tails, one insert of chunks, one update that appends and cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs
from attrs import frozen

from adk_extra_sessions.backends.damaged import DAMAGE
from adk_extra_sessions.backends.mongodb import bulk, documents
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History, oldest, same_expiry
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.paging import of_sessions, portions
from adk_extra_sessions.codec import check_format
from adk_extra_sessions.records import AppendRequest

AT_ONCE = 32
"""Tails that are held in memory together; each has a few megabytes at most."""


@frozen
class Waiting:
    """An append that was refused, and the update that would have stored it."""

    append: OngoingAppend
    update: bulk.Update


@frozen
class Overflow:
    """Sessions whose next append moves events to a chunk."""

    sessions: Any
    history: History
    expiry: Expiry

    def append(self, waiting: Sequence[Waiting]) -> list[bool]:
        """Stores what nothing but a full tail is in the way of; returns which are stored.

        Raises:
            pymongo.errors.PyMongoError: Something failed; others may be stored.
        """
        return [done for portion in portions(waiting, AT_ONCE, 1, lambda one: 0) for done in self._append(portion)]

    def _append(self, waiting: Sequence[Waiting]) -> list[bool]:
        until = self.expiry.chunks_expire_at()
        found = of_sessions(self.sessions, [one.append.request.key for one in waiting], documents.WITHOUT_STATE)
        heads, chunks = {}, []
        for index, one in enumerate(waiting):
            head = found.get(documents.session_id(one.append.request.key))
            with suppress(*DAMAGE):  # the careful way names it
                if head is not None and self._is_only_full(one.append.request, head):
                    chunks.append(oldest(head, until))
                    heads[index] = head
        done = bool(heads) and self._cut([waiting[index].update for index in heads], [*heads.values()], chunks)
        return [done and index in heads for index in range(len(waiting))]

    def _cut(self, updates: Sequence[bulk.Update], heads: Sequence[Document], chunks: Sequence[Document]) -> bool:
        """Sends updates that move events to chunks as well; returns whether all are stored."""
        cuts = [
            attrs.evolve(one, filter=documents.as_read(head), update=documents.with_cut(one.update, head, chunk))
            for one, head, ours, chunk in zip(updates, heads, chunks, self.history.copy(heads, chunks), strict=True)
            if chunk is not None and same_expiry(chunk, ours)
        ]
        if len(cuts) == len(updates) == bulk.send(self.sessions, cuts).matched:
            return True
        for head in heads:
            self.history.settle(head)
        return False

    def _is_only_full(self, request: AppendRequest, head: Document) -> bool:
        """Whether a session lacks nothing but room in its tail."""
        check_format(head.get("format"), request.key)
        in_tail = {bytes(event["digest"]) for event in head["tail"]}
        return bool(
            head["revision"] == request.expected
            and not head["pending"]
            and not self.expiry.expired(head)
            and self.expiry.chunks_fit(head)
            and not documents.has_room(head, request.events)
            and not any(documents.may_be_in_chunk(head, event) for event in request.events)
            and not any(event.digest in in_tail for event in request.events)
        )
