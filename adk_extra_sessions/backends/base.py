"""What a database must do to keep sessions: the methods of a `Backend`, and abilities that it may have.

A `SessionStore` has ADK's rules and uses a backend; a backend knows its database
and none of the rules. CONTRIBUTING.md shows how to write one, and
`adk_extra_sessions.testing.backend_contract` tests it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.adk.private import StaleSessionError
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.details import Changes, SessionDetails
from adk_extra_sessions.history.outline import NewOutline, OutlineName, Part
from adk_extra_sessions.queries import RecordPage, SessionQuery
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    Erased,
    NewSession,
    SessionKey,
    SessionRecord,
    Window,
)
from adk_extra_sessions.state import SharedState, StateTexts
from adk_extra_sessions.turns.storage import TurnStorage


@frozen(cache_hash=True)
class Target:
    """What a backend's operations work on, as spans name it.

    Attributes:
        system: The database, by its name in OpenTelemetry's semantic conventions.
        namespace: The name, or the number, of the database on its server.
        collection: The collection of the sessions, if the database has collections.
    """

    system: str
    namespace: str
    collection: str | None = None


class Backend(ABC):
    """A database that keeps sessions. Safe to share between threads.

    Every method does all or nothing, and its caller may repeat it after a broken
    connection. An expired session counts as missing. Errors of the driver are
    raised as they are; the store adds the operation and the server.
    """

    driver_error: type[Exception]
    """The base class of the driver's errors."""

    server: str
    """The server's name in error messages; without a password."""

    target: Target
    """What its operations work on, as spans name it."""

    @abstractmethod
    def create(self, new: NewSession) -> SharedState | None:
        """Stores a new session, and its state in all scopes.

        Creating it again with the same `nonce` succeeds and changes nothing.

        Returns:
            The state that it shares, after that; None if the session exists already.
        """

    @abstractmethod
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        """Reads a session as it is at one moment; returns None if it does not exist.

        It may return more events than `window` asks for, but never fewer. The
        values of its state are new objects, which the caller may change.

        Raises:
            CorruptRecordError: What is stored cannot be read, or is from another version.
        """

    @abstractmethod
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        """Stores the events of each request and the state that they change; all of a request or nothing.

        An event that the session has already, by its digest, is not stored
        again; its outcome is the revision that it got then.

        Args:
            requests: Each with the events of one `Session` object, no two of the same.

        Returns:
            An outcome for each, in their order. Its error is `SessionNotFoundError`
            if the session is missing, and `StaleSessionError` if it is newer
            than expected; neither is raised.
        """

    @abstractmethod
    def delete(self, key: SessionKey) -> None:
        """Deletes a session and its events, but nothing of one that is created with its id later."""

    @abstractmethod
    def list(self, query: SessionQuery) -> RecordPage:
        """Reads one page of sessions, without their events.

        Its cost depends on the page alone: the place where it begins is found
        by values, never by counting. From the first page to the last, a session
        that does not change meanwhile comes exactly once. One that changes may
        come again, and may be missed in other orders than "storage"; in that order,
        each user's sessions come one after another. Where only few sessions have the
        labels, a page may be short although it has a next one.

        Args:
            query: Which sessions; `after` is a `next` of the same query.
                `labels` are only asked of a `Managed` backend.

        Returns:
            The sessions. What is damaged is left out, with a warning.

        Raises:
            InputValidationError: `after` is not one that a page has returned. If
                that goes unnoticed, it must do no harm nor show other sessions.
        """

    @abstractmethod
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        """Reads the user's state, raw key to value."""

    @abstractmethod
    def ping(self) -> None:
        """Makes one round trip to the server."""

    @abstractmethod
    def close(self) -> None:
        """Closes the client if this backend made it. May be called more than once."""

    def server_address(self) -> tuple[str, int | None] | None:
        """Returns the server's name (or socket) and port, for spans; None if there are several, or it is not known."""
        return None


class TakesTurns(Backend):
    """A backend that can also keep turns, which let one run at a time work on a session."""

    turns: TurnStorage
    """Where turns are kept."""


class Managed(Backend):
    """A backend that also keeps names, labels and lifetimes of sessions, and counts them.

    It stores `NewSession.details` and fills in `SessionRecord.details`.
    """

    @abstractmethod
    def count(self, query: SessionQuery) -> int:
        """Counts all sessions of a query without reading them, as far as the database can.

        Args:
            query: Which sessions; its `order`, `size` and `after` have no effect.
        """

    @abstractmethod
    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        """Changes a session's details, all of them at once.

        Its revision and last_update_time stay, so that `Session` objects loaded
        before can still be appended to. A new lifetime counts from now, as if
        the session had been written to now; otherwise its expiry stays.

        Returns:
            Its details after that; None if there is no such session.
        """

    @abstractmethod
    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        """Deletes a session as `delete` does, if it is still at this revision.

        Returns:
            Whether it was there, at this revision, and is deleted.
        """


class Erasable(Backend):
    """A backend that can also erase everything of a user, or of an app."""

    @abstractmethod
    def erase(self, app_name: str, user_id: str | None) -> Erased:
        """Deletes everything of a user, or with None of an app and all its users.

        That is sessions (also expired, damaged and foreign ones), events and
        bodies, state, changes of state that are not applied yet, turns, and every
        index entry: afterwards no key, document or index has the user's id, or
        with None the app's name. Sessions that others create during the call may
        stay, but only whole. An append to an erased session fails with
        `SessionNotFoundError` and stores nothing. If the call is interrupted, it
        is repeated.

        Returns:
            What this call has deleted.
        """


class Copyable(Backend):
    """A backend whose whole contents can be read, and written as they were elsewhere: for copies and exports."""

    @abstractmethod
    def app_names(self) -> Iterator[str]:
        """Finds the apps that have anything stored, each once; may walk over all keys."""

    @abstractmethod
    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        """Finds the sessions of an app or of one user, expired and damaged ones too; each user's together."""

    @abstractmethod
    def app_state(self, app_name: str) -> Mapping[str, Any]:
        """Reads the app's state, raw key to value, with changes that sessions still hold (see `shared_deltas`)."""

    @abstractmethod
    def user_states(self, app_name: str, user_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any, or of one, with changes that sessions still hold.

        This includes users without a session; a user may come twice.
        """

    @abstractmethod
    def write_shared_state(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        """Sets keys of the app's and the user's state; `texts` has none of a session."""

    @abstractmethod
    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        """Reads the bodies of the events before those of `record`, oldest first, page by page.

        Raises:
            SessionNotFoundError: The session was deleted meanwhile.
        """

    @abstractmethod
    def set_time(self, key: SessionKey, revision: int, time: float) -> None:
        """Sets a session's last_update_time, if the session is still at this revision."""

    @abstractmethod
    def discard(self, key: SessionKey) -> None:
        """Deletes whatever is stored in the place of a session, also if it is damaged or foreign."""


class ReadsParts(Backend):
    """A backend that can read only the events that an outline names (see `history.outline`), for long histories."""

    @abstractmethod
    def read_part(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> Part | None:
        """Reads a session with some of its events, as it is at one moment; returns None if it does not exist.

        Args:
            key: The session.
            name: The outline that says which events to read. If the session has no
                outline of this name, that is all events.
            recent: How many of the newest events to read, in addition to those
                that the outline keeps; None for those from the outline's start on.

        Raises:
            CorruptRecordError: What is stored cannot be read, or is from another version.
        """

    @abstractmethod
    def store_outline(self, key: SessionKey, new: NewOutline) -> None:
        """Stores an outline if the session still has the last event in it; otherwise does nothing.

        It changes neither the session's revision nor its times, order or expiry.
        """


class Examinable(Backend):
    """A backend that can examine its server and what is stored there: for the doctor."""

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """Examines the server, its settings and indexes; writes nothing."""

    @abstractmethod
    def strays(self) -> Iterator[Finding]:
        """Finds what belongs to no session, and sessions that no list finds; walks over all that is stored."""


def stale_session(key: SessionKey) -> StaleSessionError:
    """Returns the error for an append to a session that was changed since it was loaded."""
    return StaleSessionError(
        # ADK's own words, which its tests and other people's code look for.
        f"{key} has been modified in storage since it was loaded."
        " Reload it and append the event again. With a Runner, use service.turn() or TurnPlugin."
    )
