"""The careful way to append on MongoDB: reading the session first, to learn what stands in the way.

It may be gone, superseded or damaged; the event may be stored already, or too
large; the tail may be full, or chunks about to expire. What is then written is
written to the very events that were read, or they are read anew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
from attrs import define, field, frozen
from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError

from adk_extra_sessions.backends.base import stale_session
from adk_extra_sessions.backends.mongodb import bulk, documents
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History, oldest, same_expiry
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates, pending_in
from adk_extra_sessions.codec import check_format, describe
from adk_extra_sessions.errors import EventTooLargeError, SessionNotFoundError
from adk_extra_sessions.records import AppendOutcome, AppendRequest, EventRecord, SessionKey

logger = logging.getLogger(__name__)


@define
class Try:
    """One try to append, at the very revision that was read.

    Attributes:
        reserved: The deltas to shared state, with their tickets.
        renewed: Whether the chunks need another expiry.
        unsettled: Whether chunks may expire later than the session says.
    """

    head: Document = field(repr=False)
    events: Sequence[EventRecord] = field(repr=False)
    reserved: Sequence[Document] = field(repr=False)
    expires_at: datetime
    chunks_expire_at: datetime
    renewed: bool
    blobs: Mapping[bytes, str]
    unsettled: bool = False


@frozen
class CheckedAppend:
    """Appends of any kind, one by one."""

    sessions: Any
    history: History
    shared: SharedStates
    expiry: Expiry

    def store(self, append: OngoingAppend) -> AppendOutcome:
        """Stores an append, or finds out why not."""
        request = append.request
        logger.debug("%s: something stands in the way of an append; looking closer.", describe(request.key))
        self._check_size(request)
        tries: list[Try] = []
        try:
            outcome = self._store_or_refuse(append, tries)
        except (PyMongoError, EventTooLargeError) as error:
            if not getattr(error, "timeout", False):
                self._settle(request.key, tries)
            raise
        self._settle(request.key, tries)
        return outcome

    def _store_or_refuse(self, append: OngoingAppend, tries: list[Try]) -> AppendOutcome:
        request = append.request
        events = list({event.digest: event for event in request.events}.values())
        own = {event.digest.hex() for event in events}
        blobs: dict[bytes, str] = {}
        head: Document | None = None
        while True:
            before, head = head, self.sessions.find_one(documents.session_filter(request.key), documents.WITHOUT_STATE)
            if before is not None and (head is None or head["base"] != before["base"]):
                # What this append wrote belongs to a session that is gone.
                blobs = {}
                if not self.history.delete_if_gone(before):
                    continue
            if head is None or self.expiry.expired(head):
                self.history.drop_blobs(request.key, list(blobs.values()))
                missing = SessionNotFoundError(f"Session {request.key.session_id!r} not found.")
                return self._refused(append, missing)
            check_format(head.get("format"), request.key)
            self.shared.apply_left(request.key, head["pending"], own)
            known = self._known(head, events)
            left = [event for event in events if event.digest not in known]
            if left and not _is_allowed(request, head, known):
                self.history.drop_blobs(request.key, list(blobs.values()))
                return self._refused(append, stale_session(request.key), head)
            if not left:
                if not bulk.confirm(self.sessions, documents.as_read(head)):
                    continue
                self.history.drop_blobs(request.key, list(blobs.values()))
                return self._found_stored(request, head, known)
            reserved = append.reserve(self.shared.tickets)
            expires_at, chunks_expire_at = self.expiry.expires_at(), self.expiry.chunks_expire_at()
            renewed = bool(blobs) or not self.expiry.chunks_fit(head)
            blobs = blobs or self.history.store_blobs(head, left, chunks_expire_at)
            tries.append(Try(head, left, reserved, expires_at, chunks_expire_at, renewed, blobs))
            if self._store(request, tries[-1]):
                known.update({event.digest: head["revision"] + at for at, event in enumerate(left, start=1)})
                return AppendOutcome([known[event.digest] for event in request.events])

    def _check_size(self, request: AppendRequest) -> None:
        for event in request.events:
            sizes = {"An event": len(event.body), "A state delta": documents.state_bytes(event.state.session)}
            for what, size in sizes.items():
                if size > documents.DOCUMENT_BYTES:
                    raise EventTooLargeError(what, size, documents.DOCUMENT_BYTES)

    def _store(self, request: AppendRequest, one: Try) -> bool:
        """Appends to the session as it was read; returns False when it is no longer so."""
        update = documents.append_update(one.events, one.expires_at, one.reserved, one.blobs)
        if not documents.has_room(one.head, one.events):
            ours = oldest(one.head, one.chunks_expire_at)
            (chunk,) = self.history.copy([one.head], [ours])
            if chunk is None:
                return False
            update = documents.with_cut(update, one.head, chunk)
            one.renewed = one.renewed or not same_expiry(chunk, ours)
            one.unsettled = True
        if one.renewed:
            one.unsettled = True
            self.history.keep(one.head, one.chunks_expire_at)
            update.pop("$min", None)
            update["$set"]["chunks_expire_at"] = one.chunks_expire_at
        elif one.blobs:
            update["$min"] = {"chunks_expire_at": one.chunks_expire_at}
        if any(len(event.state.session) > documents.PATHS for event in one.events):
            found = self.sessions.find_one(documents.as_read(one.head), {"state": 1})
            if found is None:
                return False
            update = documents.with_whole_state(update, found["state"])
        try:
            if not bulk.send(self.sessions, [bulk.Update(documents.as_read(one.head), update)]).matched:
                return False
        except (OperationFailure, DocumentTooLarge) as error:
            if not documents.is_too_large(error):  # it may have been stored all the same
                raise
            self.history.drop_blobs(request.key, list(one.blobs.values()))
            raise self._too_large(request, update) from None
        one.unsettled = one.renewed
        self.shared.apply(pending_in(request, update))
        return True

    def _settle(self, key: SessionKey, tries: Sequence[Try]) -> None:
        unsettled = [one.head for one in tries if one.unsettled]
        try:
            for head in unsettled[-1:]:
                self.history.settle(head)
        except PyMongoError as error:  # the next renewal does it too
            logger.warning(
                "%s: its events may stay on the server for too long (%s).", describe(key), type(error).__name__
            )

    def _known(self, head: Document, events: Sequence[EventRecord]) -> dict[bytes, int]:
        """Finds events that are stored already: the revision after each, by digest."""
        first = head["revision"] - head["tail_count"] + 1
        in_tail = {bytes(one["digest"]): first + at for at, one in enumerate(head["tail"])}
        known = {one: in_tail[one] for one in (event.digest for event in events) if one in in_tail}
        old = [one for one in events if one.digest not in known and documents.may_be_in_chunk(head, one)]
        for one, position in self.history.locate(head, old).items():
            known[one] = head["base"] + position + 1
        return known

    def _refused(self, append: OngoingAppend, error: Exception, head: Document | None = None) -> AppendOutcome:
        """Refuses an append, unless it was stored before its session was deleted: shared state may have its deltas."""
        expected = append.request.expected
        if (
            expected is not None
            and (head is None or head["base"] > expected)
            and self.shared.is_applied(append.pending)
        ):
            return AppendOutcome(append.revisions())
        return AppendOutcome(error=error)

    def _too_large(self, request: AppendRequest, update: Document) -> EventTooLargeError:
        held = len(bson.encode(self.sessions.find_one(documents.session_filter(request.key)) or {}))
        size = held + len(bson.encode(update))
        return EventTooLargeError("The session's document", size, documents.DOCUMENT_BYTES, held)

    def _found_stored(self, request: AppendRequest, head: Document, known: dict[bytes, int]) -> AppendOutcome:
        return AppendOutcome([known[event.digest] for event in request.events])


def _is_allowed(request: AppendRequest, head: Document, known: dict[bytes, int]) -> bool:
    """Whether a request's writer knows all that is stored, together with what it repeats."""
    if request.expected is None:
        in_time = request.not_after is None or head["last_update_time"] <= request.not_after
        return bool(in_time) or head["revision"] in known.values()
    reached = request.expected
    for event in request.events:
        if event.digest not in known:
            break
        reached += known[event.digest] == reached + 1
    return bool(head["revision"] == reached)
