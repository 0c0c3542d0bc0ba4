"""The quick way to append on MongoDB: one update for each session, all in one command.

Each update is guarded by everything that could forbid it. If all match, all
are stored. If not, one query tells which were, and for those whose tail was
just full, room is made for all at once. What is left takes the careful way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.overflow import Overflow, Waiting
from adk_extra_sessions.backends.mongodb.paging import of_sessions
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import AppendOutcome, AppendRequest

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
    def store(self, appends: Sequence[OngoingAppend], shares: bool) -> list[AppendOutcome | None]:
        """Stores appends of known revision.

        Args:
            appends: What to store, all small.
            shares: Whether they change shared state.

        Returns:
            For each its outcome, or None if that is for the checked append to find out.
        """
        if shares:
            self._reserve(appends)
        waiting = [Waiting(one, self._update(one)) for one in appends if not shares or one.deltas is not None]
        stored = self._store(waiting) if waiting else []
        done = {one.append for one, is_stored in zip(waiting, stored, strict=True) if is_stored}
        if shares and not self._share(done):
            done = set()
        return [AppendOutcome(one.revisions()) if one in done else None for one in appends]

    def _reserve(self, appends: Sequence[OngoingAppend]) -> None:
        left = [one for one in appends if one.deltas is None]
        if left:
            for one, deltas in zip(left, self.shared.tickets.reserve_many([one.request for one in left]), strict=True):
                one.deltas = deltas

    def alone(self, append: OngoingAppend) -> AppendOutcome | None:
        """Stores an append of any revision; returns None if something stands in its way."""
        request, reserved = append.request, append.reserve(self.shared.tickets)
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
        self.shared.apply(append.pending)
        return AppendOutcome(append.revisions(found["revision"] - len(request.events)))

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

    def _update(self, append: OngoingAppend) -> bulk.Update:
        request = append.request
        update = documents.append_update(request.events, self.expiry.expires_at(), append.deltas or ())
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
        found = of_sessions(self.sessions, [one.append.request.key for one in waiting], dict.fromkeys(fields, 1))
        proofs = [_proof(one, found.get(documents.session_id(one.append.request.key))) for one in waiting]
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

    def _share(self, stored: Collection[OngoingAppend]) -> bool:
        """Applies the deltas to shared state that were stored with events; returns whether that was possible."""
        with _left_to_the_careful_way():
            self.shared.apply([delta for one in stored for delta in one.pending])
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


def _proof(waiting: Waiting, session: Document | None) -> Document | None:
    """Returns a filter for a session whose newest events are an append's, at its revisions, with its own tickets.

    The deltas of an earlier call may have been applied, and superseded, long ago.
    """
    append = waiting.append
    events = append.request.events
    if session is None or session.get("revision") != append.revisions()[-1]:
        return None
    try:
        newest = [bytes(event["digest"]) for event in session["tail"][-len(events) :]]
        pending = session.get("pending", ())
        is_ours = newest == [event.digest for event in events] and all(
            delta in pending for delta in append.deltas or ()
        )
        return documents.as_read(session) if is_ours else None
    except DAMAGE:
        return None
