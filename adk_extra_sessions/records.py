"""What travels between the rules (`store.py`) and a backend: plain frozen values.

State values are JSON texts here, so that a backend may store them in whatever
form it likes and still gives back exactly what was given. No repr shows what is
stored: tools that collect errors print the local variables of a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import astuple, field, frozen

from adk_extra_sessions.details import DEFAULT, Lifetime, SessionDetails
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.state import SharedState, StateTexts


def checked_name(what: str, value: object) -> str:
    """Returns `value` if it can be a name.

    Args:
        what: The argument's name, for the error.
        value: Anything a caller passed.

    Raises:
        InputValidationError: `value` is not a string, or has lone surrogates.
    """
    if not isinstance(value, str):
        raise InputValidationError(f"{what} must be a string, not {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputValidationError(f"{what} contains a lone surrogate, which is not valid Unicode text.") from None
    return value


@frozen
class SessionKey:
    """The three names that identify a session; any Unicode text is allowed in each."""

    app_name: str
    user_id: str
    session_id: str

    @classmethod
    def of(cls, app_name: object, user_id: object, session_id: object) -> SessionKey:
        """Checks the names and strips white space around the session id, as ADK does.

        Raises:
            InputValidationError: One of the names is not Unicode text.
        """
        return cls(
            checked_name("app_name", app_name),
            checked_name("user_id", user_id),
            checked_name("session_id", session_id).strip(),
        )

    def __str__(self) -> str:
        """Returns the session's name in messages; without a session id, that of the user's or the app's state."""
        app = f"app {self.app_name!r}"
        if self.session_id:
            return f"Session {self.session_id!r} of user {self.user_id!r} in {app}"
        return f"The state of user {self.user_id!r} in {app}" if self.user_id else f"The state of {app}"


@frozen
class NewSession:
    """A session to be created.

    Attributes:
        revision: Its first revision; each event adds one. It starts at the
            time of creation in microseconds, so that a session created again
            under an old id never repeats a revision of its predecessor.
        nonce: Tells a repeated request from another caller's.
        details: Its name, labels, lifetime, and time of creation, which is also its
            first last_update_time. Its `expire_time` follows from the lifetime.
        copied: Whether it is a copy, whose state is not the one that the session had at its creation.
    """

    key: SessionKey
    revision: int
    nonce: str
    state: StateTexts
    details: SessionDetails
    copied: bool = False


@frozen
class EventRecord:
    """An event in stored form, with the state it changes. Made by the store's codec.

    Attributes:
        digest: 12 bytes by which the event is recognised when it is appended again.
        timestamp: Seconds since the epoch.
        body: The event itself. Only the codec looks into it.
        state: The values of its state delta.
        changes_waiting: Whether it may change which calls wait for an answer; how many such events a session
            has is stored with it.
    """

    digest: bytes
    timestamp: float
    body: bytes = field(repr=False)
    state: StateTexts
    changes_waiting: bool = False


@frozen
class AppendRequest:
    """Events of one live session, to be stored together behind one revision check.

    Attributes:
        expected: The revision that the stored session must have; None to accept any.
        not_after: If given, the request is refused if the stored session is newer than this time
            (for `Session` objects without a revision).
        lifetime: The session's lifetime when it was loaded. Only the stored one counts; a backend
            that needs it before it writes may try this one first.
    """

    key: SessionKey
    events: Sequence[EventRecord]
    expected: int | None = None
    not_after: float | None = None
    lifetime: Lifetime = DEFAULT

    @property
    def long_running(self) -> int:
        """How many of the events may change which calls wait for an answer."""
        return sum(event.changes_waiting for event in self.events)


@frozen
class AppendOutcome:
    """The outcome of a request: a revision for each event, or an error.

    Attributes:
        revisions: For each event, the revision of the session just after it.
            An event that had been stored before has its old one.
        error: Why the request was refused.
    """

    revisions: Sequence[int] = ()
    error: Exception | None = None


@frozen
class Window:
    """Which events to read.

    Attributes:
        recent: At most this many of the newest; None for all.
        after: Then only those with a timestamp at or after this; None for all.
    """

    recent: int | None = None
    after: float | None = None


@frozen
class SessionRecord:
    """A session as read from storage; `bodies` are those of its events, in order.

    Attributes:
        state: The session's own state, raw key to value.
        first: Position in the full history of the first event in `bodies`.
        details: Its name, labels, times and lifetime.
        start_revision: The revision that it was created with; no other session has it.
    """

    key: SessionKey
    revision: int
    last_update_time: float
    state: Mapping[str, Any] = field(repr=False)
    shared: SharedState
    bodies: Sequence[bytes | str] = field(default=(), repr=False)
    first: int = 0
    details: SessionDetails = field(factory=SessionDetails)
    start_revision: int = 0


@frozen
class Erased:
    """How much was erased.

    Attributes:
        sessions: How many sessions, also expired and damaged ones.
        events: How many events they had.
        states: How many states of users and of the app.
        turns: How many turns on sessions.
        records: How many keys or documents all this was stored in, with those of indexes.
    """

    sessions: int = 0
    events: int = 0
    states: int = 0
    turns: int = 0
    records: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(*(one + another for one, another in zip(astuple(self), astuple(other), strict=True)))
