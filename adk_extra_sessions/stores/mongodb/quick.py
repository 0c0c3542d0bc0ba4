"""The quick way to append on MongoDB: one update for each session, all in one command.

Each update is guarded by everything that could forbid it. If all match, all
are stored. If not, one query tells which were, and for those whose tail was
just full, room is made for all at once. What is left takes the careful way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
from attrs import frozen
from bson.errors import InvalidDocument
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, WriteError

from adk_extra_sessions.codec import check_format
from adk_extra_sessions.records import AppendOutcome, AppendRequest
from adk_extra_sessions.stores.damaged import DAMAGE
from adk_extra_sessions.stores.mongodb import bulk, documents
from adk_extra_sessions.stores.mongodb.documents import Document
from adk_extra_sessions.stores.mongodb.expiry import Expiry
from adk_extra_sessions.stores.mongodb.history import History, oldest
from adk_extra_sessions.stores.mongodb.shared_state import Recorded, SharedStates
from adk_extra_sessions.stores.mongodb.trying_again import tried_again

REFUSED = (WriteError, InvalidDocument, OverflowError)
"""Errors for what one update of many asks for, found by the server or, before it is sent, by the driver."""


@frozen
class QuickWay:
    """Appends in which nothing out of the ordinary stands in the way."""

    sessions: Any
    history: History
    shared: SharedStates
    expiry: Expiry

    @tried_again
    def together(self, requests: Sequence[AppendRequest], shares: bool) -> list[AppendOutcome | None]:
        """Stores requests of known revision.

        Args:
            requests: What to store, all `is_quick`.
            shares: Whether they change shared state. Then they need not wait
                for the majority twice: shared state waits for it, and proves
                that the events are there.

        Returns:
            For each its outcome, or None if that is for the careful way to find out.
        """
        now = self.expiry.now()
        updates = [self._update(request, now) for request in requests]
        term = None
        try:
            sent = bulk.send(self.sessions, updates, awaited=not shares)
            stored = [True] * len(requests) if sent.matched == len(requests) else self._which_are_stored(requests)
            term = sent.term
        except REFUSED:
            stored = self._which_are_stored(requests)
        if not all(stored):
            term = None
            stored = self._with_room_made(requests, updates, stored)
        recorded = [
            delta
            for request, update, done in zip(requests, updates, stored, strict=True)
            if done
            for delta in recorded_in(request, update.update)
        ]
        try:
            proven = self.shared.apply(recorded, term)
        except WriteError:  # one of many; the careful way finds the events stored, and applies each delta
            proven = False
        return [
            AppendOutcome(revisions(request)) if done and (proven or not shares) else None
            for request, done in zip(requests, stored, strict=True)
        ]

    def alone(self, request: AppendRequest) -> AppendOutcome | None:
        """Stores a request of any revision; returns None if something stands in its way."""
        update = documents.append_update(request.events, self.expiry.now())
        try:
            found = self.sessions.find_one_and_update(
                self._condition(request), update, {"revision": 1}, return_document=ReturnDocument.AFTER
            )
        except (OperationFailure, DocumentTooLarge) as error:
            raise documents.as_too_large(error, request) from None
        if found is None:
            return None
        self.shared.apply(recorded_in(request, update))
        return AppendOutcome(revisions(request, found["revision"] - len(request.events)))

    def _update(self, request: AppendRequest, now: datetime) -> bulk.Update:
        update = documents.append_update(request.events, now)
        return bulk.Update(self._condition(request), update, size=sum(len(event.body) for event in request.events))

    def _condition(self, request: AppendRequest) -> Document:
        condition = {
            **documents.session_filter(request.key),
            **documents.room_filter(request.events),
            **self.expiry.alive_filter(),
            **self.expiry.chunks_alive_filter(),
        }
        if request.expected is not None:
            condition["revision"] = request.expected
        elif request.not_after is not None:
            condition["last_update_time"] = {"$lte": request.not_after}
        return condition

    def _which_are_stored(self, requests: Sequence[AppendRequest]) -> list[bool]:
        """Finds out which of many updates matched: their events are the newest of their session.

        What they wrote has reached the majority, since their command waited for it.
        """
        if len(requests) == 1:  # then it is not this one
            return [False]
        newest = {"$slice": -max(len(request.events) for request in requests)}
        found = self._found(requests, {"revision": 1, "tail": newest})
        return [_is_newest(request, found.get(documents.session_id(request.key))) for request in requests]

    def _with_room_made(
        self, requests: Sequence[AppendRequest], updates: Sequence[bulk.Update], stored: Sequence[bool]
    ) -> list[bool]:
        """Stores what nothing but a full tail was in the way of; returns what is stored now."""
        now = self.expiry.now()
        left = [index for index, done in enumerate(stored) if not done]
        found = self._found([requests[index] for index in left], documents.WITHOUT_STATE)
        heads, chunks = {}, []
        for index in left:
            head = found.get(documents.session_id(requests[index].key))
            with suppress(*DAMAGE):  # the careful way names it
                if head is not None and self._is_only_full(requests[index], head):
                    chunks.append(oldest(head, now))
                    heads[index] = head
        if heads and self._cut([updates[index] for index in heads], [*heads.values()], chunks):
            return [done or index in heads for index, done in enumerate(stored)]
        return list(stored)

    def _cut(self, updates: Sequence[bulk.Update], heads: Sequence[Document], chunks: Sequence[Document]) -> bool:
        """Sends updates that move events to chunks as well; returns whether all are stored."""
        try:
            cuts = [
                attrs.evolve(
                    one, filter=documents.at_revision(head), update=documents.with_cut(one.update, head, chunk)
                )
                for one, head, chunk in zip(updates, heads, self.history.copy(chunks), strict=True)
                if chunk is not None
            ]
            if len(cuts) == len(updates) == bulk.send(self.sessions, cuts).matched:
                return True
        except (*REFUSED, BulkWriteError):
            pass
        for head in heads:  # what was written for a session that was deleted meanwhile goes with it
            if (
                self.sessions.find_one(
                    {name: head[name] for name in ("_id", "app_name", "user_id", "base")}, {"_id": 1}
                )
                is None
            ):
                self.history.delete(head)
        return False

    def _is_only_full(self, request: AppendRequest, head: Document) -> bool:
        """Whether a session lacks nothing but room in its tail."""
        check_format(head.get("format"), request.key)
        in_tail = {bytes(event["digest"]) for event in head["tail"]}
        return bool(
            head["revision"] == request.expected
            and not self.expiry.expired(head)
            and not self.expiry.chunks_due(head)
            and not documents.has_room(head, request.events)
            and all(event.timestamp > head["chunked_until"] for event in request.events)
            and not any(event.digest in in_tail for event in request.events)
        )

    def _found(self, requests: Sequence[AppendRequest], fields: Document) -> dict[str, Document]:
        """Finds the sessions that requests are for, by id."""
        keys = [request.key for request in requests]
        selected = {
            "_id": {"$in": [documents.session_id(key) for key in keys]},
            "app_name": {"$in": list({key.app_name for key in keys})},
            "user_id": {"$in": list({key.user_id for key in keys})},
        }
        return {session["_id"]: session for session in self.sessions.find(selected, fields)}


def is_quick(request: AppendRequest) -> bool:
    """Whether a request may go the quick way: small events, all different."""
    limit = documents.CHECKED_BYTES
    for event in request.events:
        if len(event.body) > documents.INLINE_BYTES:
            return False
        # A body at least as long as any part of its delta: most need no closer look.
        if len(event.body) >= limit and documents.state_bytes({**event.state.app, **event.state.user}) >= limit:
            return False
    return len(request.events) == 1 or len({event.digest for event in request.events}) == len(request.events)


def recorded_in(request: AppendRequest, update: Document) -> list[Recorded]:
    """Returns the deltas to shared state that an update records."""
    deltas = update["$push"].get("pending", {}).get("$each", [])
    return [Recorded(request.key, delta) for delta in deltas]


def revisions(request: AppendRequest, before: int | None = None) -> list[int]:
    """Returns the revision after each of a request's events; `before` is that before them, if it was not expected."""
    start = request.expected if before is None else before
    assert start is not None
    return [start + at for at in range(1, len(request.events) + 1)]


def _is_newest(request: AppendRequest, session: Document | None) -> bool:
    """Whether a session's newest events are a request's, at its revisions."""
    if session is None or session.get("revision") != revisions(request)[-1]:
        return False
    try:
        newest = [bytes(event["digest"]) for event in session["tail"][-len(request.events) :]]
    except DAMAGE:
        return False
    return newest == [event.digest for event in request.events]
