"""One append: from a live session and an event to a request, and from its outcome back.

The live session changes here and only here, after the write has succeeded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from attrs import define, field
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.adk_private import StaleSessionError, set_storage_marker, storage_marker
from adk_extra_sessions.codec import describe, encode_event
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.records import AppendRequest, EventRecord, SessionKey
from adk_extra_sessions.state import without_temp

PIECE_EVENTS = 50
"""Events of one session that are stored in one go, at most."""

PIECE_BYTES = 1 << 20
"""Bytes of them, at most; a larger event goes alone."""


@define(eq=False)
class Append:
    """An event on its way into a live session.

    Attributes:
        error: Set when the event was refused.
        fresh: Whether the event is new to the live session.
    """

    session: Session = field(repr=False)
    event: Event = field(repr=False)
    record: EventRecord | None = None
    error: BaseException | None = None
    fresh: bool = False

    @classmethod
    def of(cls, session: object, event: object) -> Append:
        """Checks the types of what a caller passed.

        Raises:
            InputValidationError: Not a `Session` and an `Event`.
        """
        if not isinstance(session, Session) or not isinstance(event, Event):
            raise InputValidationError("append_event takes an ADK Session and an ADK Event.")
        return cls(session, event)

    @property
    def wanted(self) -> bool:
        """Whether there is something to store: no partial event, no earlier error."""
        return self.error is None and not self.event.partial

    @property
    def size(self) -> int:
        """Bytes of the encoded event."""
        return len(self.record.body) if self.record is not None else 0

    def encode(self, *, coerce: bool) -> int:
        """Fills in `record`, or `error`; returns how many bytes the record has."""
        if self.wanted and self.record is None:
            try:
                self.record = encode_event(self.event, coerce=coerce)
            except Exception as error:
                self.error = error
        return self.size

    def commit(self) -> None:
        """Brings the live session up to date, if the event was stored and is new to it.

        To be called in the thread of the caller that owns the live session.
        """
        if not self.fresh:
            return
        self.fresh = False
        delta = self.event.actions.state_delta
        if delta:
            self.session.state.update(delta)
            self.event.actions.state_delta = without_temp(delta)
        self.session.events.append(self.event)
        self.session.last_update_time = self.event.timestamp

    def result(self) -> Event:
        """Returns the event, or raises why it was refused."""
        if self.error is not None:
            raise self.error
        return self.event


def runs(appends: Sequence[Append]) -> list[list[Append]]:
    """Groups appends by live session, keeping each session's order."""
    by_session: dict[int, list[Append]] = {}
    for append in appends:
        by_session.setdefault(id(append.session), []).append(append)
    return list(by_session.values())


def pieces(run: Sequence[Append]) -> list[list[Append]]:
    """Cuts a run into parts that a backend stores in one go."""
    cut: list[list[Append]] = []
    size = 0
    for append in run:
        length = append.size
        if not cut or len(cut[-1]) == PIECE_EVENTS or size + length > PIECE_BYTES:
            cut.append([])
            size = 0
        cut[-1].append(append)
        size += length
    return cut


def request(run: Sequence[Append], *, any_revision: bool) -> AppendRequest:
    """Makes the request that stores a run of one live session's events.

    Raises:
        StaleSessionError: The session's marker is not one of ours.
        InputValidationError: The session's names are not Unicode text.
    """
    session = run[0].session
    key = SessionKey.of(session.app_name, session.user_id, session.id)
    events = [append.record for append in run if append.record is not None]
    marker = storage_marker(session)
    if any_revision:
        return AppendRequest(key, events)
    if marker is None:
        return AppendRequest(key, events, not_after=session.last_update_time)
    if not marker.isdecimal():
        raise stale_session(key)
    return AppendRequest(key, events, expected=int(marker))


def stale_session(key: SessionKey) -> StaleSessionError:
    """Returns the error for an append to a session that another holder has changed."""
    return StaleSessionError(
        # ADK's own words, which its tests and other people's code look for.
        f"{describe(key)} has been modified in storage since it was loaded."
        " Reload it and append the event again. With a Runner, use service.turn() or TurnPlugin."
    )


def record_error(run: Sequence[Append], error: BaseException) -> None:
    """Notes on each append of a run why it was refused."""
    for append in run:
        append.error = error


def record_revisions(run: Sequence[Append], request: AppendRequest, revisions: Sequence[int]) -> None:
    """Notes on each append of a run whether it is new to the live session, and moves the session's marker on.

    Over a gap it does not move: a repeated event may have been stored after
    others that the live session knows nothing of, and its next append must find out.
    """
    session = run[0].session
    held = request.expected if request.expected is not None else _held(session)
    newest = held or 0
    any_revision = request.expected is None and request.not_after is None
    for append, revision in zip(run, revisions, strict=True):
        # Without a marker only the events themselves tell what the session already has.
        known = held is None and any(event.id == append.event.id for event in session.events)
        append.fresh = revision > newest and not known
        if any_revision or held is None or revision <= newest + 1:
            newest = max(newest, revision)
    set_storage_marker(session, str(newest))


def _held(session: Session) -> int | None:
    marker = storage_marker(session)
    return int(marker) if marker is not None and marker.isdecimal() else None


class LiveSessionLocks:
    """Locks that keep two threads from appending to one live session at once."""

    def __init__(self, stripes: int = 64) -> None:
        self._stripes = stripes
        self._reset()

    def holding(self, sessions: Sequence[Session]) -> AbstractContextManager[Any]:
        """Holds the locks of all `sessions`, always taken in the same order."""
        if self._pid != os.getpid():  # a fork takes held locks along, but not who holds them
            self._reset()
        stripes = sorted({(id(session) >> 4) % self._stripes for session in sessions})
        return self._locks[stripes[0]] if len(stripes) == 1 else self._all(stripes)

    @contextmanager
    def _all(self, stripes: Sequence[int]) -> Iterator[None]:
        with ExitStack() as stack:
            for stripe in stripes:
                stack.enter_context(self._locks[stripe])
            yield

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._locks = [threading.Lock() for _ in range(self._stripes)]
