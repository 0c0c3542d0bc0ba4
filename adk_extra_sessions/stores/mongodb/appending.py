"""Appending on MongoDB: all at once where nothing stands in the way, else with care.

The quick way sends one update for each session, guarded by everything that
could forbid it; if all match, all are stored. Where one does not match, the
careful way reads why: gone, stale, stored before, or the tail is full.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from bson.errors import InvalidDocument
from pymongo import ReturnDocument
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    WriteError,
)

from adk_extra_sessions.codec import check_format, describe
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError, SessionNotFoundError, StaleSessionError
from adk_extra_sessions.records import AppendOutcome, AppendRequest, EventRecord
from adk_extra_sessions.stores.appends import STALE
from adk_extra_sessions.stores.mongodb import bulk, documents
from adk_extra_sessions.stores.mongodb.documents import Document
from adk_extra_sessions.stores.mongodb.expiry import Expiry
from adk_extra_sessions.stores.mongodb.history import History
from adk_extra_sessions.stores.mongodb.shared_state import Recorded, SharedStates
from adk_extra_sessions.stores.mongodb.trying_again import tried_again

logger = logging.getLogger(__name__)

WITHOUT_STATE = {"state": 0}


@frozen
class Appending:
    """The write path of a MongoDB store."""

    sessions: Any
    history: History
    shared: SharedStates
    expiry: Expiry

    def append(self, requests: Sequence[AppendRequest]) -> list[AppendOutcome]:
        """Stores requests; see `SessionStore._append`."""
        outcomes: dict[int, AppendOutcome] = {}
        unreachable: Exception | None = None
        plain = [one for one, request in enumerate(requests) if request.expected is not None and _is_plain(request)]
        for shares in (False, True):
            outcomes.update(self._quickly(requests, [one for one in plain if _shares(requests[one]) is shares], shares))
        for index, request in enumerate(requests):
            if index not in outcomes:
                try:
                    if unreachable is not None:
                        raise unreachable
                    outcomes[index] = self._singly(request)
                except (KeyError, TypeError, AttributeError):
                    damaged = CorruptRecordError(f"{describe(request.key)} cannot be used: its document is damaged.")
                    outcomes[index] = AppendOutcome(error=damaged)
                except Exception as error:
                    outcomes[index] = AppendOutcome(error=error)
                    # The others need not wait out the same timeout one by one.
                    if isinstance(error, ConnectionFailure) or getattr(error, "timeout", False):
                        unreachable = error
        return [outcomes[index] for index in range(len(requests))]

    @tried_again
    def _quickly(
        self, requests: Sequence[AppendRequest], indexes: Sequence[int], shares: bool
    ) -> dict[int, AppendOutcome]:
        """Sends all updates in one command; returns nothing unless every one matched.

        Args:
            requests: All requests.
            indexes: Which of them to send.
            shares: Whether they change shared state. Then they need not wait
                for the majority twice: shared state waits for it, and the
                records struck out after that prove the events are there.
        """
        if not indexes:
            return {}
        now = self.expiry.now()
        updates = [
            bulk.Update(self._condition(requests[one]), documents.append_update(requests[one].events, now))
            for one in indexes
        ]
        try:
            sessions = bulk.unawaited(self.sessions) if shares else self.sessions
            if bulk.send(sessions, updates) < len(updates):
                return {}
        except (BulkWriteError, WriteError, InvalidDocument, OverflowError):
            return {}  # which one it was, and why, the careful way finds out
        recorded = [
            delta
            for one, update in zip(indexes, updates, strict=True)
            for delta in _recorded(requests[one], update.update)
        ]
        try:
            if not self.shared.apply(recorded):
                return {}  # are the events still there? the careful way finds out
        except (BulkWriteError, WriteError):
            return {}  # one of many; the careful way finds the events stored, and applies each delta
        return {one: AppendOutcome(_revisions(requests[one])) for one in indexes}

    @tried_again
    def _singly(self, request: AppendRequest) -> AppendOutcome:
        return self._alone(request) or self._carefully(request)

    def _alone(self, request: AppendRequest) -> AppendOutcome | None:
        """Stores a request of unknown revision with one update, if nothing stands in its way."""
        if request.expected is not None or not _is_plain(request):
            return None
        update = documents.append_update(request.events, self.expiry.now())
        try:
            found = self.sessions.find_one_and_update(
                self._condition(request), update, {"revision": 1}, return_document=ReturnDocument.AFTER
            )
        except (OperationFailure, DocumentTooLarge) as error:
            raise _as_too_large(error, request) from None
        if found is None:
            return None
        self.shared.apply(_recorded(request, update))
        return AppendOutcome(_revisions(request, found["revision"] - len(request.events)))

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

    def _carefully(self, request: AppendRequest) -> AppendOutcome:
        logger.debug("%s: something stands in the way of an append; looking closer.", describe(request.key))
        self._check_size(request)
        events = list({event.digest: event for event in request.events}.values())
        blobs: dict[bytes, str] = {}
        head: Document | None = None
        while True:
            before, head = head, self.sessions.find_one(documents.session_filter(request.key), WITHOUT_STATE)
            if head is None or self.expiry.expired(head):
                if head is None and before is not None:
                    self.history.delete(before)  # what this append wrote for it meanwhile
                return AppendOutcome(error=SessionNotFoundError(f"Session {request.key.session_id!r} not found."))
            check_format(head.get("format"), request.key)
            known = self._known(head, events)
            left = [event for event in events if event.digest not in known]
            if left and not _is_allowed(request, head, known):
                self.history.drop_blobs(request.key, list(blobs.values()))
                return AppendOutcome(error=StaleSessionError(STALE))
            if not left:
                return self._found_stored(request, head, known)
            blobs = blobs or self.history.store_blobs(head, left, self.expiry.now())
            if self._store(request, head, left, blobs):
                known.update({event.digest: head["revision"] + at for at, event in enumerate(left, start=1)})
                return AppendOutcome([known[event.digest] for event in request.events])

    def _check_size(self, request: AppendRequest) -> None:
        for event in request.events:
            sizes = {"An event": len(event.body), "A state delta": documents.state_bytes(event.state.session)}
            for what, size in sizes.items():
                if size > documents.DOCUMENT_BYTES:
                    raise EventTooLargeError(what, size, documents.DOCUMENT_BYTES)
            self.shared.check_room(request.key, event.state)

    def _store(
        self, request: AppendRequest, head: Document, left: Sequence[EventRecord], blobs: dict[bytes, str]
    ) -> bool:
        """Appends at the very revision that was read; returns False when another was quicker."""
        now = self.expiry.now()
        update = documents.append_update(left, now, blobs)
        if not _has_room(head, left):
            documents.add_cut(update, head, self.history.copy_oldest(head, now))
        if self.expiry.chunks_due(head):
            self.history.renew(head, now)
            update["$set"]["chunks_active_at"] = now
        elif blobs or "$max" in update:
            update["$min"] = {"chunks_active_at": now}  # that of the oldest stays
        condition = {**documents.session_filter(request.key), "revision": head["revision"], "base": head["base"]}
        try:
            if not bulk.send(self.sessions, [bulk.Update(condition, update)]):
                return False
        except (OperationFailure, DocumentTooLarge) as error:
            refused = _as_too_large(error, request)
            if refused is not error:  # anything else may have been stored all the same
                self.history.drop_blobs(request.key, list(blobs.values()))
            raise refused from None
        self.shared.apply(_recorded(request, update))
        return True

    def _known(self, head: Document, events: Sequence[EventRecord]) -> dict[bytes, int]:
        """Finds events that are stored already: the revision after each, by digest."""
        first = head["revision"] - head["tail_count"] + 1
        in_tail = {bytes(one["digest"]): first + at for at, one in enumerate(head["tail"])}
        known = {one: in_tail[one] for one in (event.digest for event in events) if one in in_tail}
        old = [one for one in events if one.timestamp <= head["chunked_until"] and one.digest not in known]
        for one, position in self.history.locate(head, old).items():
            known[one] = head["base"] + position + 1
        return known

    def _found_stored(self, request: AppendRequest, head: Document, known: dict[bytes, int]) -> AppendOutcome:
        ours = {event.digest.hex() for event in request.events}
        self.shared.rescue(request.key, [delta for delta in head["pending"] if delta["id"] in ours], after=-math.inf)
        # Read here is not yet stored for good: a write that changes nothing waits
        # for the majority to have all that came before it.
        self.sessions.update_one(documents.session_filter(request.key), {"$set": {"format": head["format"]}})
        return AppendOutcome([known[event.digest] for event in request.events])


def _is_plain(request: AppendRequest) -> bool:
    """Whether a request may go the quick way: small events, all different."""
    limit = documents.CHECKED_BYTES
    for event in request.events:
        if len(event.body) > documents.INLINE_BYTES:
            return False
        # A body at least as long as any part of its delta: most need no closer look.
        if len(event.body) >= limit and documents.state_bytes({**event.state.app, **event.state.user}) >= limit:
            return False
    return len({event.digest for event in request.events}) == len(request.events)


def _shares(request: AppendRequest) -> bool:
    """Whether a request changes the app's or the user's state."""
    return any(event.state.app or event.state.user for event in request.events)


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


def _has_room(head: Document, events: Sequence[EventRecord]) -> bool:
    enough = head["tail_count"] + len(events) <= documents.TAIL_EVENTS
    return bool(enough) and bool(head["tail_bytes"] + documents.inline_bytes(events) <= documents.TAIL_BYTES)


def _recorded(request: AppendRequest, update: Document) -> list[Recorded]:
    deltas = update["$push"].get("pending", {}).get("$each", [])
    return [Recorded(request.key, delta) for delta in deltas]


def _revisions(request: AppendRequest, before: int | None = None) -> list[int]:
    start = request.expected if before is None else before
    assert start is not None
    return [start + at for at in range(1, len(request.events) + 1)]


def _as_too_large(error: Exception, request: AppendRequest) -> Exception:
    if isinstance(error, OperationFailure) and error.code not in documents.TOO_LARGE:
        return error
    size = sum(documents.state_bytes(event.state.session) for event in request.events)
    return EventTooLargeError("The session's state with a delta that", size, documents.DOCUMENT_BYTES)
