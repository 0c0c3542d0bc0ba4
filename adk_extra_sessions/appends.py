"""One append: makes a request of a live session and an event, and changes the session when the event is stored.

The live session changes here and only here, in one step, after the write has
succeeded; `live_sessions` keeps the order of those steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.adk.private import set_storage_marker, storage_marker
from adk_extra_sessions.backends.base import stale_session
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.live_sessions import WriteOrder, live_sessions
from adk_extra_sessions.records import AppendRequest, EventRecord, SessionKey
from adk_extra_sessions.session import lifetime_of
from adk_extra_sessions.state import without_temp

REQUEST_EVENTS = 50
"""Events in one request, at most."""

REQUEST_BYTES = 1 << 20
"""Bytes of its events, at most; a larger event has a request of its own."""


@define(eq=False)
class Append:
    """An event on its way into a live session.

    Attributes:
        error: Set when the event was refused; each append has an error object of its own.
        key: The session's names; None if they, or other parts of it, are of wrong types.
        fresh: Whether the event was stored and is new to the live session.
        marker: Once it is stored, the marker that the live session gets with it.
        marker_before: The marker that the live session has just before that.
        order: See `StoredChange`.
    """

    session: Session = field(repr=False)
    event: Event = field(repr=False)
    record: EventRecord | None = None
    error: BaseException | None = None
    key: SessionKey | None = None
    fresh: bool = False
    marker: str | None = field(default=None, repr=False)
    marker_before: str | None = field(default=None, repr=False)
    order: WriteOrder | None = field(default=None, repr=False)

    @classmethod
    def of(cls, session: object, event: object) -> Append:
        """Checks what a caller passed. A session that cannot be written to is this append's own `error`.

        Raises:
            InputValidationError: Not a `Session` and an `Event`.
        """
        if not isinstance(session, Session) or not isinstance(event, Event):
            raise InputValidationError("append_event takes an ADK Session and an ADK Event.")
        append = cls(session, event)
        if append.wanted:
            try:
                append.key = _checked(session)
            except InputValidationError as error:
                append.error = error.with_traceback(None)
        return append

    @property
    def wanted(self) -> bool:
        """Whether there is something to store: no partial event, no earlier error."""
        return self.error is None and not self.event.partial

    @property
    def size(self) -> int:
        """Bytes of the encoded event."""
        return len(self.record.body) if self.record is not None else 0

    def encode(self, codec: Codec) -> int:
        """Fills in `record`, or `error`; returns how many bytes the record has."""
        if self.wanted and self.record is None:
            try:
                self.record = codec.encode(self.event)
            except Exception as error:
                self.error = own_error(error)
        return self.size

    def commit(self) -> None:
        """Brings the live session up to date, with all that was stored before it; does nothing if it was refused.

        To be called in a thread of a caller that owns the live session, if there is one left.
        """
        live_sessions.commit(self)

    def change_session(self) -> None:
        """Changes the live session; called again if it was interrupted, maybe when it was changed already."""
        try:
            if self.fresh:
                self._add_event()
            # Otherwise the session was changed in another way, and the next append to it must be refused.
            if storage_marker(self.session) == self.marker_before and self.marker is not None:
                set_storage_marker(self.session, self.marker)
        except Exception as error:  # the caller made the session unusable while its event was stored
            self.error = own_error(error)

    def _add_event(self) -> None:
        session, event = self.session, self.event
        delta = event.actions.state_delta
        if delta:
            session.state.update(delta)
            event.actions.state_delta = without_temp(delta)
        if not session.events or session.events[-1] is not event:
            session.events.append(event)
        session.last_update_time = event.timestamp

    def result(self) -> Event:
        """Returns the event, or raises why it was refused."""
        if self.error is not None:
            raise self.error
        return self.event


def by_session(appends: Sequence[Append]) -> list[list[Append]]:
    """Groups appends by live session, keeping each session's order."""
    found: dict[int, list[Append]] = {}
    for append in appends:
        found.setdefault(id(append.session), []).append(append)
    return list(found.values())


def by_request(appends: Sequence[Append]) -> list[list[Append]]:
    """Splits the appends to one live session into those that a request may hold."""
    found: list[list[Append]] = []
    size = 0
    for append in appends:
        if not found or len(found[-1]) == REQUEST_EVENTS or size + append.size > REQUEST_BYTES:
            found.append([])
            size = 0
        found[-1].append(append)
        size += append.size
    return found


def request(appends: Sequence[Append], *, any_revision: bool) -> AppendRequest:
    """Makes the request that stores events of one live session.

    Raises:
        StaleSessionError: The session's marker is not one of ours.
    """
    session, key = appends[0].session, appends[0].key
    assert key is not None
    events = [append.record for append in appends if append.record is not None]
    marker = appends[0].marker_before = live_sessions.marker(session)
    lifetime = lifetime_of(session)
    if any_revision:
        return AppendRequest(key, events, lifetime=lifetime)
    if marker is None:
        return AppendRequest(key, events, not_after=session.last_update_time, lifetime=lifetime)
    if not _is_ours(marker):
        raise stale_session(key)
    return AppendRequest(key, events, expected=int(marker), lifetime=lifetime)


def record_error(appends: Sequence[Append], error: BaseException) -> None:
    """Notes on each append, as an error of its own, why it was refused."""
    for append in appends:
        append.error = own_error(error)


def own_error(error: BaseException) -> BaseException:
    """Copies an error that several callers get, for one of them.

    The copy has no traceback: its frames hold what all of those callers stored.
    Nor have the errors that caused it.
    """
    kind = type(error)
    copied = kind.__new__(kind, *error.args)  # not kind(*args): drivers' errors take other arguments than they keep
    copied.args = error.args
    copied.__dict__.update(vars(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        copied.__cause__ = own_error(cause)
    return copied


def record_revisions(appends: Sequence[Append], request: AppendRequest, revisions: Sequence[int]) -> None:
    """Notes on each append whether its event is new to the live session, and the marker that comes with it.

    The marker does not move across a gap: a repeated event may have been stored after
    others that the live session does not have, so its next append must be refused.
    """
    session = appends[0].session
    marker = appends[0].marker_before
    held = int(marker) if marker is not None and _is_ours(marker) else None
    newest = held or 0
    any_revision = request.expected is None and request.not_after is None
    for append, revision in zip(appends, revisions, strict=True):
        # Without a marker only the events show what the session already has.
        known = held is None and any(event.id == append.event.id for event in session.events)
        append.fresh = revision > newest and not known
        if any_revision or held is None or revision <= newest + 1:
            newest = max(newest, revision)
        append.marker_before, append.marker = marker, str(newest)
        marker = append.marker
        live_sessions.add(append)


def _is_ours(marker: str) -> bool:
    return isinstance(marker, str) and marker.isdecimal()


def _checked(session: Session) -> SessionKey:
    """Returns a session's names, if it is one that an event can come into.

    Raises:
        InputValidationError: It has no id, or something in it is of another type than ADK gives it.
    """
    key = SessionKey.of(session.app_name, session.user_id, session.id)
    if not key.session_id:
        raise InputValidationError("The session has no id.")
    if not isinstance(session.events, list) or not isinstance(session.state, dict):
        raise InputValidationError("The session's events must be a list, and its state a dictionary.")
    if not isinstance(session.last_update_time, (int, float)):
        raise InputValidationError("The session's last_update_time must be a number of seconds.")
    return key
