"""Appending without reading first: one update for each session, all in one command.

Each update has every condition of `guards` in its filter. If all match, all
are stored. If not, one query tells which were, and for those whose tail was
just full, room is made for all at once. All others are left to the checked append.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from bson.errors import InvalidDocument
from pymongo import ReturnDocument
from pymongo.errors import DocumentTooLarge, OperationFailure, WriteError

from adk_extra_sessions.backends.mongodb import bulk, documents, guards, layout, limits
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.overflow import Batched, Overflow
from adk_extra_sessions.backends.mongodb.paging import of_sessions
from adk_extra_sessions.backends.mongodb.parsing import Head, digests
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import AppendOutcome

REFUSED = (WriteError, InvalidDocument, OverflowError)
"""Errors for what one update of many asks for, found by the server or, before it is sent, by the driver."""


@frozen
class BatchedAppend:
    """Stores appends for which all conditions hold."""

    sessions: Any
    chunks: ChunkWriter
    shared: SharedStates
    expiry: Expiry

    @retried
    def store(self, appends: Sequence[OngoingAppend], shares: bool) -> list[AppendOutcome | None]:
        """Stores appends of known revision.

        Args:
            appends: What to store, all small.
            shares: Whether they change shared state.

        Returns:
            For each its outcome, or None if the checked append must find it out.
        """
        if shares:
            self._reserve([one for one in appends if one.deltas is None])
        ready = [Batched(one, self._update(one)) for one in appends if not shares or one.deltas is not None]
        stored = self._store(ready) if ready else []
        done = {one.append for one, is_stored in zip(ready, stored, strict=True) if is_stored}
        if shares and not self._share(done):
            done = set()
        return [AppendOutcome(one.revisions()) if one in done else None for one in appends]

    def alone(self, append: OngoingAppend) -> AppendOutcome | None:
        """Stores an append of any revision; returns None if a condition does not hold."""
        request, deltas = append.request, append.reserve(self.shared.tickets)
        expiry = self.expiry.of(request.lifetime)
        update = documents.append_update(request.events, expiry.expires_at(), deltas)
        try:
            found = self.sessions.find_one_and_update(
                guards.append_query(request, expiry),
                update,
                {"revision": 1, "pending": 1},
                return_document=ReturnDocument.AFTER,
            )
        except (OperationFailure, DocumentTooLarge) as error:
            if not limits.is_too_large(error):
                raise
            return None  # the checked append names what is full
        if found is None:
            return None
        own = {delta["id"] for delta in deltas}
        self.shared.apply_left(request.key, [one for one in found["pending"] if one["id"] not in own])
        self.shared.apply(append.pending)
        return AppendOutcome(append.revisions(found["revision"] - len(request.events)))

    def _reserve(self, appends: Sequence[OngoingAppend]) -> None:
        if appends:
            taken = self.shared.tickets.reserve_many([one.request for one in appends])
            for one, deltas in zip(appends, taken, strict=True):
                one.deltas = deltas

    def _update(self, append: OngoingAppend) -> bulk.Update:
        request, expiry = append.request, self.expiry.of(append.request.lifetime)
        update = documents.append_update(request.events, expiry.expires_at(), append.deltas or ())
        size = sum(len(event.body) for event in request.events) + 2 * len(layout.session_id(request.key))
        return bulk.Update(guards.append_query(request, expiry), update, size=size)

    def _store(self, ready: Sequence[Batched]) -> list[bool]:
        """Stores those whose conditions all hold; returns what is stored now."""
        matched = None
        try:
            matched = bulk.send(self.sessions, [one.update for one in ready])
            if matched == len(ready):
                return [True] * len(ready)
        except REFUSED as error:
            if getattr(error, "timeout", False):
                raise
        stored = self._which_are_stored([one.append for one in ready], matched)
        return stored if all(stored) else self._with_full_tails(ready, stored)

    def _which_are_stored(self, appends: Sequence[OngoingAppend], matched: int | None) -> list[bool]:
        """Finds out which of many updates matched: their events are the newest of their session.

        What they wrote has reached the majority, since their command waited for
        it. If another writer stored the same events at the same moment, this waits for those.
        """
        if len(appends) == 1:  # not all matched, and it is the only one
            return [False]
        found = of_sessions(self.sessions, [one.request.key for one in appends], documents.WITHOUT_BODIES)
        proofs = [_proof(one, found.get(layout.session_id(one.request.key))) for one in appends]
        stored = [proof is not None for proof in proofs]
        proven = sum(stored) in (0, matched)
        if proven or bulk.are_confirmed(self.sessions, [proof for proof in proofs if proof is not None]):
            return stored
        return [False] * len(stored)

    def _with_full_tails(self, ready: Sequence[Batched], stored: Sequence[bool]) -> list[bool]:
        """Stores those that only a full tail has prevented; returns what is stored now."""
        left = [one for one, is_stored in zip(ready, stored, strict=True) if not is_stored]
        with _left_to_the_checked_append():
            done = iter(Overflow(self.sessions, self.chunks, self.expiry).append(left))
            return [is_stored or next(done) for is_stored in stored]
        return list(stored)

    def _share(self, stored: Collection[OngoingAppend]) -> bool:
        """Applies the deltas to shared state that were stored with events; returns whether that was possible."""
        with _left_to_the_checked_append():
            self.shared.apply([delta for one in stored for delta in one.pending])
            return True
        return False


@contextmanager
def _left_to_the_checked_append() -> Iterator[None]:
    """Ignores the error of one of many: the checked append finds out which are stored, and names each one's error."""
    try:
        yield
    except (*REFUSED, OperationFailure, CorruptRecordError) as error:
        if getattr(error, "timeout", False):
            raise


def _proof(append: OngoingAppend, document: Document | None) -> Document | None:
    """Returns a filter for a session whose newest events are an append's, at its revisions, with its own tickets.

    The deltas of an earlier call may have been applied, and replaced by later ones, long ago.
    """
    if document is None:
        return None
    try:
        head = Head.of(document, append.request.key)
    except CorruptRecordError:
        return None
    wanted = [event.digest for event in append.request.events]
    is_stored = head.revision == append.revisions()[-1] and digests(head.tail[-len(wanted) :]) == wanted
    has_deltas = all(delta in head.pending for delta in append.deltas or ())
    return head.as_read() if is_stored and has_deltas else None
