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

from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import AppendOutcome, AppendRequest
from adk_extra_sessions.stores.damaged import DAMAGE
from adk_extra_sessions.stores.mongodb import bulk, documents
from adk_extra_sessions.stores.mongodb.documents import Document
from adk_extra_sessions.stores.mongodb.expiry import Expiry
from adk_extra_sessions.stores.mongodb.full_tails import FullTails, Waiting
from adk_extra_sessions.stores.mongodb.history import History
from adk_extra_sessions.stores.mongodb.paging import of_sessions
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
        waiting = [Waiting(request, self._update(request)) for request in requests]
        term = None
        try:
            sent = bulk.send(self.sessions, [one.update for one in waiting], awaited=not shares)
            stored = (
                [True] * len(waiting)
                if sent.matched == len(waiting)
                else self._which_are_stored(waiting, sent.matched, shares=shares)
            )
            term = sent.term
        except REFUSED as error:
            if getattr(error, "timeout", False):
                raise
            stored = self._which_are_stored(waiting, None, shares=shares)
        if not all(stored):
            term = None
            stored = self._with_full_tails(waiting, stored)
        proven = not shares or self._share([one for one, done in zip(waiting, stored, strict=True) if done], term)
        return [
            AppendOutcome(revisions(request)) if done and proven else None
            for request, done in zip(requests, stored, strict=True)
        ]

    def alone(self, request: AppendRequest) -> AppendOutcome | None:
        """Stores a request of any revision; returns None if something stands in its way."""
        update = documents.append_update(request.events, self.expiry.expires_at())
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

    def _update(self, request: AppendRequest) -> bulk.Update:
        update = documents.append_update(request.events, self.expiry.expires_at())
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
        elif request.not_after is not None:
            condition["last_update_time"] = {"$lte": request.not_after}
        return condition

    def _which_are_stored(self, waiting: Sequence[Waiting], matched: int | None, *, shares: bool) -> list[bool]:
        """Finds out which of many updates matched: their events are the newest of their session.

        What they wrote has reached the majority, since their command waited for
        it, or is proven by shared state. What another wrote at the same moment,
        the same events, is waited for.
        """
        if len(waiting) == 1:  # then it is not this one
            return [False]
        fields = ("app_name", "user_id", "base", "revision", "tail_first", "tail.digest", "pending.id", "pending.time")
        found = of_sessions(self.sessions, [one.request.key for one in waiting], dict.fromkeys(fields, 1))
        proofs = [_proof(one, found.get(documents.session_id(one.request.key))) for one in waiting]
        stored = [proof is not None for proof in proofs]
        proven = shares or sum(stored) in (0, matched)
        if proven or bulk.are_confirmed(self.sessions, [proof for proof in proofs if proof is not None]):
            return stored
        return [False] * len(stored)

    def _with_full_tails(self, waiting: Sequence[Waiting], stored: Sequence[bool]) -> list[bool]:
        """Stores what nothing but a full tail was in the way of; returns what is stored now."""
        left = [one for one, done in zip(waiting, stored, strict=True) if not done]
        with _left_to_the_careful_way():
            done = iter(FullTails(self.sessions, self.history, self.expiry).append(left))
            return [one or next(done) for one in stored]
        return list(stored)

    def _share(self, stored: Sequence[Waiting], term: object) -> bool:
        """Applies what updates have recorded; returns whether they are proven to be stored for good."""
        recorded = [delta for one in stored for delta in recorded_in(one.request, one.update.update)]
        with _left_to_the_careful_way():
            return self.shared.apply(recorded, term)
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


def _proof(waiting: Waiting, session: Document | None) -> Document | None:
    """Returns a filter for a session whose newest events are a request's, at its revisions, from this very attempt.

    An earlier one's deltas to shared state may have been applied, and superseded, long ago.
    """
    request = waiting.request
    if session is None or session.get("revision") != revisions(request)[-1]:
        return None
    try:
        newest = [bytes(event["digest"]) for event in session["tail"][-len(request.events) :]]
        pending = {(delta["id"], delta["time"]) for delta in session.get("pending", ())}
        ours = {(one.delta["id"], one.delta["time"]) for one in recorded_in(request, waiting.update.update)}
        is_ours = newest == [event.digest for event in request.events] and ours <= pending
        return documents.as_read(session) if is_ours else None
    except DAMAGE:
        return None
