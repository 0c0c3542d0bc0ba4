"""The quick way to append on MongoDB: one update for each session, all in one command.

Each update is guarded by everything that could forbid it. If all match, all
are stored. If not, one query tells which were, and for those whose tail was
just full, room is made for all at once. What is left takes the careful way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from bson.errors import InvalidDocument
from pymongo import ReturnDocument
from pymongo.errors import DocumentTooLarge, OperationFailure, WriteError

from adk_extra_sessions.backends.damaged import DAMAGE
from adk_extra_sessions.backends.mongodb import bulk, documents
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.overflow import Overflow, Waiting
from adk_extra_sessions.backends.mongodb.paging import of_sessions
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates, pending_in
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import AppendOutcome, AppendRequest, EventRecord, StateTexts

REFUSED = (WriteError, InvalidDocument, OverflowError)
"""Errors for what one update of many asks for, found by the server or, before it is sent, by the driver."""


@frozen
class BatchedAppend:
    """Appends in which nothing out of the ordinary stands in the way."""

    sessions: Any
    history: History
    shared: SharedStates
    expiry: Expiry

    @retried
    def together(self, requests: Sequence[AppendRequest], shares: bool) -> list[AppendOutcome | None]:
        """Stores requests of known revision.

        Args:
            requests: What to store, all `is_quick`.
            shares: Whether they change shared state.

        Returns:
            For each its outcome, or None if that is for the careful way to find out.
        """
        reserved = self.shared.tickets.reserve_many(requests) if shares else [[] for _ in requests]
        waiting = {
            index: Waiting(request, self._update(request, deltas))
            for index, (request, deltas) in enumerate(zip(requests, reserved, strict=True))
            if deltas is not None
        }
        stored = dict(zip(waiting, self._store(list(waiting.values())), strict=True)) if waiting else {}
        done = [index for index, one in stored.items() if one]
        if shares and not self._share([waiting[index] for index in done]):
            done = []
        return [AppendOutcome(revisions(one)) if index in done else None for index, one in enumerate(requests)]

    def alone(self, request: AppendRequest) -> AppendOutcome | None:
        """Stores a request of any revision; returns None if something stands in its way."""
        reserved = self.shared.tickets.reserve(request.key, deltas_of(request.events))
        update = documents.append_update(request.events, self.expiry.expires_at(), reserved)
        try:
            found = self.sessions.find_one_and_update(
                self._condition(request), update, {"revision": 1, "pending": 1}, return_document=ReturnDocument.AFTER
            )
        except (OperationFailure, DocumentTooLarge) as error:
            if not documents.is_too_large(error):
                raise
            return None  # the careful way names what is full
        if found is None:
            return None
        own = {delta["id"] for delta in reserved}
        self.shared.apply_left(request.key, [one for one in found["pending"] if one["id"] not in own])
        self.shared.apply(pending_in(request, update))
        return AppendOutcome(revisions(request, found["revision"] - len(request.events)))

    def _store(self, waiting: Sequence[Waiting]) -> list[bool]:
        """Stores what nothing stands in the way of; returns what is stored now."""
        matched = None
        try:
            matched = bulk.send(self.sessions, [one.update for one in waiting]).matched
            if matched == len(waiting):
                return [True] * len(waiting)
        except REFUSED as error:
            if getattr(error, "timeout", False):
                raise
        stored = self._which_are_stored(waiting, matched)
        return stored if all(stored) else self._with_full_tails(waiting, stored)

    def _update(self, request: AppendRequest, reserved: Sequence[Document]) -> bulk.Update:
        update = documents.append_update(request.events, self.expiry.expires_at(), reserved)
        size = sum(len(event.body) for event in request.events) + 2 * len(documents.session_id(request.key))
        return bulk.Update(self._condition(request), update, size=size)

    def _condition(self, request: AppendRequest) -> Document:
        condition = {
            **documents.session_filter(request.key),
            **documents.room_filter(request.events),
            **self.expiry.alive_filter(),
            **self.expiry.chunks_filter(),
        }
        if request.expected is not None:
            condition["revision"] = request.expected
            condition["pending"] = []  # what an interrupted writer has left is applied first
        elif request.not_after is not None:
            condition["last_update_time"] = {"$lte": request.not_after}
        return condition

    def _which_are_stored(self, waiting: Sequence[Waiting], matched: int | None) -> list[bool]:
        """Finds out which of many updates matched: their events are the newest of their session.

        What they wrote has reached the majority, since their command waited for
        it. What another wrote at the same moment, the same events, is waited for.
        """
        if len(waiting) == 1:  # then it is not this one
            return [False]
        fields = ("app_name", "user_id", "base", "revision", "tail_first", "tail.digest", "chunks_fence", "pending")
        found = of_sessions(self.sessions, [one.request.key for one in waiting], dict.fromkeys(fields, 1))
        proofs = [_proof(one, found.get(documents.session_id(one.request.key))) for one in waiting]
        stored = [proof is not None for proof in proofs]
        proven = sum(stored) in (0, matched)
        if proven or bulk.are_confirmed(self.sessions, [proof for proof in proofs if proof is not None]):
            return stored
        return [False] * len(stored)

    def _with_full_tails(self, waiting: Sequence[Waiting], stored: Sequence[bool]) -> list[bool]:
        """Stores what nothing but a full tail was in the way of; returns what is stored now."""
        left = [one for one, done in zip(waiting, stored, strict=True) if not done]
        with _left_to_the_careful_way():
            done = iter(Overflow(self.sessions, self.history, self.expiry).append(left))
            return [one or next(done) for one in stored]
        return list(stored)

    def _share(self, stored: Sequence[Waiting]) -> bool:
        """Applies the deltas to shared state that were stored with events; returns whether that was possible."""
        with _left_to_the_careful_way():
            self.shared.apply([delta for one in stored for delta in pending_in(one.request, one.update.update)])
            return True
        return False


@contextmanager
def _left_to_the_careful_way() -> Iterator[None]:
    """Lets what one of many causes pass: the careful way finds the events stored or not, and names each one's error."""
    try:
        yield
    except (*REFUSED, OperationFailure, CorruptRecordError) as error:
        if getattr(error, "timeout", False):
            raise


def is_quick(request: AppendRequest) -> bool:
    """Whether a request may go the quick way: small events, all different."""
    for event in request.events:
        if len(event.body) > documents.INLINE_BYTES or len(event.state.session) > documents.PATHS:
            return False
    return len(request.events) == 1 or len({event.digest for event in request.events}) == len(request.events)


def deltas_of(events: Sequence[EventRecord]) -> dict[str, StateTexts]:
    """Returns the state that events change, by the id of its delta."""
    return {event.digest.hex(): event.state for event in events}


def revisions(request: AppendRequest, before: int | None = None) -> list[int]:
    """Returns the revision after each of a request's events; `before` is that before them, if it was not expected."""
    start = request.expected if before is None else before
    assert start is not None
    return [start + at for at in range(1, len(request.events) + 1)]


def _proof(waiting: Waiting, session: Document | None) -> Document | None:
    """Returns a filter for a session whose newest events are a request's, at its revisions, from this very attempt.

    An earlier one's deltas to shared state may have been applied, and superseded, long ago.
    """
    request = waiting.request
    if session is None or session.get("revision") != revisions(request)[-1]:
        return None
    try:
        newest = [bytes(event["digest"]) for event in session["tail"][-len(request.events) :]]
        ours = [one.delta for one in pending_in(request, waiting.update.update)]
        pending = session.get("pending", ())
        is_ours = newest == [event.digest for event in request.events] and all(delta in pending for delta in ours)
        return documents.as_read(session) if is_ours else None
    except DAMAGE:
        return None
