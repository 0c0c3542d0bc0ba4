"""Appending after reading the session, to find out why the append could not be made without that.

The session may be gone, changed or damaged; the event may be stored already, or
too large; the tail may be full, or chunks about to expire. The append is then made
only if the session is still as it was read; otherwise it is read again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import bson
from attrs import define, field, frozen
from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError

from adk_extra_sessions.backends.base import stale_session
from adk_extra_sessions.backends.mongodb import bulk, documents, guards, layout, limits
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.parsing import Head, digests
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.backends.mongodb.state_parsing import mapping
from adk_extra_sessions.backends.stored_format import check_format
from adk_extra_sessions.errors import EventTooLargeError, SessionNotFoundError
from adk_extra_sessions.records import AppendOutcome, AppendRequest, EventRecord, SessionKey

logger = logging.getLogger(__name__)


@define
class Check:
    """One append's reading of its session, again and again until nothing changes meanwhile.

    Attributes:
        head: The session as it was last read.
        bodies: Ids of the large bodies stored for it, by digest.
        unsettled: The session, if chunks may expire later than it says.
    """

    append: OngoingAppend
    events: Sequence[EventRecord]
    head: Head | None = None
    bodies: dict[bytes, str] = field(factory=dict)
    unsettled: Head | None = None

    @property
    def key(self) -> SessionKey:
        """The session's names."""
        return self.append.request.key


@frozen
class CheckedAppend:
    """Appends of any kind, one by one."""

    sessions: Any
    chunks: ChunkWriter
    history: History
    shared: SharedStates
    expiry: Expiry

    def store(self, append: OngoingAppend) -> AppendOutcome:
        """Stores an append, or finds out why not."""
        request = append.request
        logger.debug("%s: something stands in the way of an append; looking closer.", request.key)
        _check_size(request)
        check = Check(append, list({event.digest: event for event in request.events}.values()))
        try:
            outcome = None
            while outcome is None:
                outcome = self._checked(check)
        except (PyMongoError, EventTooLargeError) as error:
            if not getattr(error, "timeout", False):
                self._settle(check)
            raise
        self._settle(check)
        return outcome

    def _checked(self, check: Check) -> AppendOutcome | None:
        """Reads the session and stores what is not stored yet, or refuses it; None to begin anew."""
        before, head = check.head, self._read(check.key)
        check.head = head
        if before is not None and (head is None or head.start_revision != before.start_revision):
            # What this append wrote belongs to a session that is gone.
            check.bodies = {}
            if not self.chunks.delete_if_gone(before):
                return None
        if head is None or guards.is_expired(head.expires_at, self.expiry):
            return self._refused(check, SessionNotFoundError(f"Session {check.key.session_id!r} not found."))
        self.shared.apply_left(check.key, head.pending, {event.digest.hex() for event in check.events})
        known = self._known(head, check.events)
        left = [event for event in check.events if event.digest not in known]
        if left and not _is_allowed(check.append.request, head, known):
            return self._refused(check, stale_session(check.key))
        if not left:
            if not bulk.confirm(self.sessions, head.as_read()):
                return None
            self.chunks.drop_bodies(check.key, check.bodies.values())
        elif self._store(check, head, left):
            known.update({event.digest: head.revision + at for at, event in enumerate(left, start=1)})
        else:
            return None
        return AppendOutcome([known[event.digest] for event in check.append.request.events])

    def _read(self, key: SessionKey) -> Head | None:
        document = self.sessions.find_one(layout.session_filter(key), documents.WITHOUT_STATE)
        if document is None:
            return None
        check_format(document.get("format"), key)
        return Head.of(document, key)

    def _known(self, head: Head, events: Sequence[EventRecord]) -> dict[bytes, int]:
        """Finds events that are stored already: the revision after each, by digest."""
        in_tail = {one: position for position, one in enumerate(digests(head.tail), head.tail_first)}
        positions = {event.digest: in_tail[event.digest] for event in events if event.digest in in_tail}
        old = [one for one in events if one.digest not in positions and guards.may_be_in_chunk(head, one)]
        positions.update(self.history.locate(head, old))
        return {digest: head.revision_after(position) for digest, position in positions.items()}

    def _refused(self, check: Check, error: Exception) -> AppendOutcome:
        """Refuses an append, unless it was stored before its session was deleted: shared state may have its deltas."""
        self.chunks.drop_bodies(check.key, check.bodies.values())
        expected = check.append.request.expected
        may_be_stored = expected is None or check.head is None or check.head.start_revision > expected
        if may_be_stored and self.shared.is_applied(check.append.pending):
            # If no revision was expected, the old one is unknown now: it was less than that of a session created now.
            return AppendOutcome(check.append.revisions(time.time_ns() // 1000 if expected is None else expected))
        if check.head is None and check.append.deltas:  # all that belongs to its user may have been erased
            self.shared.tickets.give_back(check.key, check.append.deltas)
        return AppendOutcome(error=error)

    def _store(self, check: Check, head: Head, left: Sequence[EventRecord]) -> bool:
        """Appends to the session as it was read; returns False when it is no longer so."""
        deltas = check.append.reserve(self.shared.tickets)
        unsettled = check.unsettled
        expiry = self.expiry.of(head.lifetime)
        expires_at, chunks_expire_at = expiry.expires_at(), expiry.chunks_expire_at()
        renewed = bool(check.bodies) or not guards.chunk_expiry_fits(head, expiry)
        check.bodies = check.bodies or self.chunks.store_bodies(head, left, chunks_expire_at)
        update = documents.append_update(left, expires_at, deltas, check.bodies)
        if not guards.has_room(head, left):
            (chunk,) = self.chunks.write([head], [chunks_expire_at])
            if chunk is None:
                return False
            update = documents.with_cut(update, head, chunk.events, chunk.expires_at)
            renewed = renewed or not chunk.expires_as(head, chunks_expire_at)
            check.unsettled = head
        self._renew(check, head, update, chunks_expire_at, renewed=renewed)
        if any(len(event.state.session) > limits.PATHS for event in left):
            found = self.sessions.find_one(head.as_read(), {"state": 1})
            if found is None:
                return False
            update = documents.with_whole_state(update, mapping(found, "state", head.key))
        if not self._send(check, head, update):
            return False
        check.unsettled = head if renewed else unsettled
        ids = {event.digest.hex() for event in left}
        self.shared.apply([one for one in check.append.pending if one.delta["id"] in ids])
        return True

    def _renew(self, check: Check, head: Head, update: Document, until: datetime, *, renewed: bool) -> None:
        """Adds to the session's update when its chunks expire; if they need another date, they get it first."""
        if renewed:
            check.unsettled = head
            self.chunks.keep(head, until)
            update.pop("$min", None)
            update["$set"]["chunks_expire_at"] = until
        elif check.bodies:
            update["$min"] = {"chunks_expire_at": until}

    def _send(self, check: Check, head: Head, update: Document) -> bool:
        try:
            return bool(bulk.send(self.sessions, [bulk.Update(head.as_read(), update)]))
        except (OperationFailure, DocumentTooLarge) as error:
            if not limits.is_too_large(error):  # it may have been stored all the same
                raise
        self.chunks.drop_bodies(check.key, check.bodies.values())
        held = len(bson.encode(self.sessions.find_one(layout.session_filter(check.key)) or {}))
        size = held + len(bson.encode(update))
        raise EventTooLargeError("The session's document", size, limits.DOCUMENT_BYTES, held)

    def _settle(self, check: Check) -> None:
        try:
            if check.unsettled is not None:
                self.chunks.settle(check.unsettled)
        except PyMongoError as error:  # the next renewal does it too
            kind = type(error).__name__
            logger.warning("%s: its events may stay on the server for too long (%s).", check.key, kind)


def _check_size(request: AppendRequest) -> None:
    for event in request.events:
        texts = event.state.session.items()
        state = sum(len(name.encode()) + len(text.encode()) for name, text in texts)
        for what, size in {"An event": len(event.body), "A state delta": state}.items():
            if size > limits.DOCUMENT_BYTES:
                raise EventTooLargeError(what, size, limits.DOCUMENT_BYTES)


def _is_allowed(request: AppendRequest, head: Head, known: dict[bytes, int]) -> bool:
    """Whether a request's writer knows all that is stored, together with what it repeats."""
    if request.expected is None:
        in_time = request.not_after is None or head.last_update_time <= request.not_after
        return in_time or head.revision in known.values()
    reached = request.expected
    for event in request.events:
        if event.digest not in known:
            break
        reached += known[event.digest] == reached + 1
    return head.revision == reached
