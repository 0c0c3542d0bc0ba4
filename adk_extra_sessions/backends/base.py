"""What a database must do to keep sessions: the verbs of a `Backend`, and abilities that it may have.

`SessionStore` has ADK's rules and holds a backend; a backend knows its database and
none of the rules. CONTRIBUTING.md shows how to write one, and
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

    Every verb is done whole or not at all, and may be repeated by its caller
    after a broken connection. An expired session counts as missing. Errors of
    the driver are raised as they are; the store adds the operation and the server.
    """

    driver_error: type[Exception]
    """The base class of the driver's errors."""

    server: str
    """What error messages call the server; shows no password."""

    target: Target
    """What spans say that its operations work on."""

    @abstractmethod
    def create(self, new: NewSession) -> SharedState | None:
        """Stores a new session, and its state in all scopes.

        Creating it again with the same `nonce` succeeds and changes nothing.

        Returns:
            The app's and the user's state after it; None when there is such a session.
        """

    @abstractmethod
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        """Reads a session as it is at one moment; None when there is none.

        It may return events older than `window.after`, never fewer than asked
        for. The values of its state are new objects, which the caller may change.

        Raises:
            CorruptRecordError: What is stored cannot be read, or is from another version.
        """

    @abstractmethod
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        """Stores the events of each request and the state that they change; all of a request or nothing.

        An event that the session has already, by its digest, is not stored
        again; its outcome is the revision that it has.

        Args:
            requests: Each from one live session, no two from the same.

        Returns:
            An outcome for each, in their order. A session that is missing is
            `SessionNotFoundError`, one that is newer than expected is
            `StaleSessionError`: in the outcome, not raised.
        """

    @abstractmethod
    def delete(self, key: SessionKey) -> None:
        """Deletes a session and its events, and nothing of one that is created later under its id."""

    @abstractmethod
    def list(self, query: SessionQuery) -> RecordPage:
        """Reads one page of sessions, without their events.

        Its cost is in proportion to the page: the place where it begins is
        found by values, never by counting. While others write, a session that
        stands still is met once from the first page to the last. One that is
        written to may be met again; in another order than that of storage, it
        may also be left out. Where few sessions have the labels, a page may be
        short and have a next one.

        Args:
            query: Which sessions; `after` is a `next` of the same query.
                `labels` are only asked of a `Managed` backend.

        Returns:
            The sessions. What is damaged is left out, with a warning.

        Raises:
            InputValidationError: `after` is made up. If that is not noticed,
                it must do no harm nor show sessions of others.
        """

    @abstractmethod
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        """Reads the user's state, raw key to value."""

    @abstractmethod
    def ping(self) -> None:
        """Makes one round trip to the server."""

    @abstractmethod
    def close(self) -> None:
        """Closes the client, unless that was the caller's own. May be called more than once."""

    def server_address(self) -> tuple[str, int | None] | None:
        """Returns the server's name (or socket) and port, for spans; None where it is not one server, or not known."""
        return None


class TakesTurns(Backend):
    """A backend that can also keep turns, so that runs on one session follow each other."""

    turns: TurnStorage
    """Where turns are kept."""


class Managed(Backend):
    """A backend that also keeps names, labels and lifetimes of sessions, and counts them.

    It keeps what `NewSession` has of name, labels, lifetime, parent and root,
    and fills in `SessionRecord.details`.
    """

    @abstractmethod
    def count(self, query: SessionQuery) -> int:
        """Counts all sessions of a query without reading them, as far as the database can.

        Args:
            query: Which sessions; its `order`, `size` and `after` have no effect.
        """

    @abstractmethod
    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        """Changes a session's name, labels or lifetime, all that is given at once.

        Neither its revision nor its last_update_time changes: whoever holds
        the session can go on. With a lifetime its expiry changes too, as if
        it had been written to now; else that stays.

        Returns:
            Its details after it; None when there is no such session.
        """

    @abstractmethod
    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        """Deletes a session as `delete` does, if it is still at this revision.

        Returns:
            Whether it was there, at this revision, and is deleted.
        """


class Erasable(Backend):
    """A backend that can also erase all that belongs to a user, or to an app."""

    @abstractmethod
    def erase(self, app_name: str, user_id: str | None) -> Erased:
        """Deletes everything of a user, or with None of an app and all its users.

        Sessions (expired, damaged and foreign ones too), events and bodies,
        state, deltas on their way into state, turns, and every index entry:
        afterwards no key, document or index holds the user's id, or with None
        the app's name. What is created during it by others may stay, whole.
        An append to a session of theirs fails, during it and afterwards, with
        `SessionNotFoundError`, and leaves nothing. Broken off, it is run again.

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
        """Reads the app's state, raw key to value, with what sessions still hold for it (see `shared_deltas`)."""

    @abstractmethod
    def user_states(self, app_name: str, user_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any, or of one, with what their sessions still hold for it.

        Users without a session are among them; a user may come twice.
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
        """Deletes whatever is in the place of a session: one that is damaged, or something foreign."""


class ReadsParts(Backend):
    """A backend that can read what an outline names of a history (see `history.outline`): for long histories."""

    @abstractmethod
    def read_part(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> Part | None:
        """Reads a session, as it is at one moment, with some of its events; None when there is none.

        Args:
            key: The session.
            name: The outline to read by. If the session has none of this
                name, there is nothing that it keeps, and all events are after its start.
            recent: How many of the newest events to read, besides those that
                the outline keeps; None for those from the outline's start on.

        Raises:
            CorruptRecordError: What is stored cannot be read, or is from another version.
        """

    @abstractmethod
    def store_outline(self, key: SessionKey, new: NewOutline) -> None:
        """Stores an outline if the session still has the event that is the last one in it; else does nothing.

        It changes neither the session's revision nor its times, order or expiry.
        """


class Examinable(Backend):
    """A backend that can examine its server and what is stored there: for the doctor."""

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """Examines the server, its settings and indexes; writes nothing."""

    @abstractmethod
    def strays(self) -> Iterator[Finding]:
        """Finds what belongs to no session, and sessions that nobody can find; walks over all that is stored."""


def stale_session(key: SessionKey) -> StaleSessionError:
    """Returns the error for an append to a session that another holder has changed."""
    return StaleSessionError(
        # ADK's own words, which its tests and other people's code look for.
        f"{key} has been modified in storage since it was loaded."
        " Reload it and append the event again. With a Runner, use service.turn() or TurnPlugin."
    )
