"""The errors that this package raises.

Where ADK has an error for a situation, ADK's is raised and can be imported from
here too: `AlreadyExistsError`, `SessionNotFoundError`, `StaleSessionError` and
`InputValidationError`. No message shows a password or a stored value.
"""

from __future__ import annotations

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.input_validation_error import InputValidationError
from google.adk.errors.session_not_found_error import SessionNotFoundError

from adk_extra_sessions.adk.private import StaleSessionError

__all__ = [
    "AlreadyExistsError",
    "ClosedError",
    "ConfigurationError",
    "CorruptRecordError",
    "EventTooLargeError",
    "EventValueError",
    "InputValidationError",
    "MissingExtraError",
    "NotReplicatedError",
    "SessionBusyError",
    "SessionConflictError",
    "SessionFileError",
    "SessionNotFoundError",
    "StaleSessionError",
    "StateValueError",
    "TurnLostError",
]


class ConfigurationError(ValueError):
    """A service or store was given a wrong URL, option or combination of them."""


class MissingExtraError(ModuleNotFoundError, ConfigurationError):
    """A database driver or a fake is not installed; the message names the extra that installs it."""


class ClosedError(RuntimeError):
    """A store or a service was used after it was closed."""


class StateValueError(ValueError, TypeError):
    """A state key or value has no JSON form.

    Attributes:
        key: The state key, with its `app:` or `user:` prefix.
        reason: What is wrong with it; no values.
        path: Where in a nested value, such as `cart['items'][3]`; otherwise empty.
    """

    def __init__(self, key: object, reason: str, path: str = "") -> None:
        super().__init__(key, reason, path)
        self.key = key
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        where = f"State key {self.key!r}" + (f", at {self.path}" if self.path else "")
        return f"{where}: {self.reason}. Nothing was written."


class EventValueError(ValueError):
    """A value in an event, outside its state delta, has no JSON form from which it can be read back."""


class EventTooLargeError(ValueError):
    """An event, or the state after it, is larger than the server can store.

    Attributes:
        what: What is too large: an event, or a document.
        size: Its size in bytes.
        limit: The largest size that can be stored, in bytes.
        held: How many of its bytes are stored already.
    """

    def __init__(self, what: str, size: int, limit: int, held: int = 0) -> None:
        super().__init__(what, size, limit, held)
        self.what = what
        self.size = size
        self.limit = limit
        self.held = held

    def __str__(self) -> str:
        stored = f" (it holds {self.held:,} now)" if self.held else ""
        return f"{self.what} would take {self.size:,} bytes{stored}; the limit is {self.limit:,}. Nothing was written."


class SessionConflictError(ValueError):
    """A session cannot be restored: a different session with the same id already exists.

    Attributes:
        session_id: The session's id.
        user_id: The user's id.
        reason: Where they differ; no values.
    """

    def __init__(self, session_id: str, user_id: str, reason: str) -> None:
        super().__init__(session_id, user_id, reason)
        self.session_id = session_id
        self.user_id = user_id
        self.reason = reason

    def __str__(self) -> str:
        return f"A different session {self.session_id!r} of user {self.user_id!r} already exists: {self.reason}."


class SessionFileError(ValueError):
    """A file of exported sessions is damaged, incomplete, or from a newer version."""


class CorruptRecordError(RuntimeError):
    """What is stored cannot be read: it is damaged, or was stored by another program or another version."""


class NotReplicatedError(RuntimeError):
    """Redis has stored a write, but too few replicas acknowledged it in time: a failover may lose it.

    Attributes:
        wanted: How many replicas the store's `wait_replicas` asks for.
        acknowledged: How many have it.
    """

    def __init__(self, wanted: int, acknowledged: int) -> None:
        super().__init__(wanted, acknowledged)
        self.wanted = wanted
        self.acknowledged = acknowledged

    def __str__(self) -> str:
        return f"Only {self.acknowledged} of {self.wanted} replicas acknowledged the write in time. Try it again."


class SessionBusyError(RuntimeError):
    """Another run has the turn on a session, and did not end while this one waited.

    Attributes:
        session_id: The session's id.
        user_id: The user's id.
        held_for: For how many seconds the turn has been held.
        started_inside: Whether this task or thread was started inside the turn that it waited for.
    """

    def __init__(self, session_id: str, user_id: str, held_for: float, started_inside: bool = False) -> None:
        super().__init__(session_id, user_id, held_for, started_inside)
        self.session_id = session_id
        self.user_id = user_id
        self.held_for = held_for
        self.started_inside = started_inside

    def __str__(self) -> str:
        who = f"Session {self.session_id!r} of user {self.user_id!r}"
        other = "the turn inside which this was started" if self.started_inside else "another turn on it"
        return f"{who} is busy: {other} has been running for {self.held_for:.1f} seconds."


class TurnLostError(RuntimeError):
    """A turn on a session was lost while it was held, because it could not be renewed in time.

    Another run may have had a turn meanwhile. Nothing was overwritten: an append
    to a session that had changed meanwhile was refused with `StaleSessionError`.

    Attributes:
        session_id: The session's id.
        user_id: The user's id.
    """

    def __init__(self, session_id: str, user_id: str) -> None:
        super().__init__(session_id, user_id)
        self.session_id = session_id
        self.user_id = user_id

    def __str__(self) -> str:
        who = f"session {self.session_id!r} of user {self.user_id!r}"
        return f"The turn on {who} was lost before it ended: this process had been paused, or cut off, for too long."
