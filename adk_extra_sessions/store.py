"""ADK's session rules, once, for every backend.

A backend subclasses `SessionStore` and supplies the primitives at its end.
CONTRIBUTING.md walks through a new one file by file.
"""

from __future__ import annotations

import time
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from operator import attrgetter
from types import TracebackType
from typing import Any

from google.adk.events import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse
from typing_extensions import Self

from adk_extra_sessions import telemetry
from adk_extra_sessions.adk.private import StaleSessionError, set_storage_marker
from adk_extra_sessions.appends import (
    Append,
    pieces,
    record_error,
    record_revisions,
    request,
    runs,
)
from adk_extra_sessions.backends.portable import Portable
from adk_extra_sessions.codec import decode_events, decode_value, encode_state
from adk_extra_sessions.driver_errors import DriverErrors
from adk_extra_sessions.errors import AlreadyExistsError, ClosedError, InputValidationError
from adk_extra_sessions.live_sessions import live_sessions
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    NewSession,
    SessionKey,
    SessionRecord,
    SharedState,
    Window,
    checked_name,
)
from adk_extra_sessions.state import split
from adk_extra_sessions.telemetry import Target, traced
from adk_extra_sessions.turns.holding import WAIT, holding, seconds
from adk_extra_sessions.turns.turn import Turn, TurnStorage


class SessionStore(Portable):
    """A blocking session store: ADK's `BaseSessionService` minus `await`.

    Safe to share between threads. A context manager: leaving it closes the
    client, unless that was the caller's own.
    """

    _target: Target
    """What its spans say that it works on; set by the backend's constructor."""

    _turns: TurnStorage
    """Where turns are kept; set by the backend's constructor."""

    def __init__(self, options: StoreOptions, driver_errors: DriverErrors) -> None:
        self.options = options
        self._driver_errors = driver_errors
        self._closed = False

    @traced
    def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Creates a session.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            state: Initial state. `app:` and `user:` keys go to the app's and
                the user's state; `temp:` keys only into the returned session.
            session_id: Its id, stripped of white space; blank or None to have one made.

        Returns:
            The session, with its merged state and no events.

        Raises:
            AlreadyExistsError: The user has a session of this id.
            StateValueError: A state value has no JSON form.
        """
        key = SessionKey.of(app_name, user_id, "" if session_id is None else session_id)
        if not key.session_id:
            key = SessionKey(key.app_name, key.user_id, platform_uuid.new_uuid())
        if state is not None and not isinstance(state, Mapping):
            raise InputValidationError(f"state must be a dictionary, not {type(state).__name__}.")
        texts = encode_state(state or {}, coerce=self.options.unserializable == "coerce")
        new = NewSession(key, time.time_ns() // 1000, uuid.uuid4().hex, platform_time.get_time(), texts)
        with self._operation("create_session"):
            shared = self._insert(new)
        if shared is None:
            raise AlreadyExistsError(f"Session with id {key.session_id!r} already exists.")
        own = {name: decode_value(text) for name, text in texts.session.items()}
        session = session_of(SessionRecord(key, new.revision, new.created, own, shared), [])
        session.state.update(split(state or {}).temp)
        return session

    @traced
    def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Reads a session with its merged state and its events.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id.
            config: Which events: `num_recent_events` of the newest, then of
                these the ones with `timestamp >= after_timestamp`.

        Returns:
            The session, or None when there is none.

        Raises:
            CorruptRecordError: What is stored cannot be read.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        window = _window(config)
        with self._operation("get_session"):
            record = self._read(key, window)
        if record is None:
            return None
        events = decode_events(record.bodies, key, record.first)
        if window.after is not None:
            events = [event for event in events if event.timestamp >= window.after]
        return session_of(record, events)

    @traced
    def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Lists sessions with their merged state, without events.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for the sessions of all users.

        Returns:
            All of them, ascending by (last_update_time, user_id, id).
        """
        met = self.iter_sessions(app_name=app_name, user_id=user_id, page_size=10_000)
        sessions = list({(session.user_id, session.id): session for session in met}.values())  # each once
        sessions.sort(key=attrgetter("last_update_time", "user_id", "id"))
        return ListSessionsResponse(sessions=sessions)

    def iter_sessions(self, *, app_name: str, user_id: str | None = None, page_size: int = 100) -> Iterator[Session]:
        """Iterates over sessions as `list_sessions` has them, in constant memory.

        The order is the storage's own. A session that is there during the
        whole iteration is met; on Redis, one may be met twice while others
        are created or deleted.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for all users.
            page_size: About how many sessions to read at once.

        Raises:
            InputValidationError: An argument is wrong.
        """
        checked_name("app_name", app_name)
        if user_id is not None:
            checked_name("user_id", user_id)
        if not isinstance(page_size, int) or page_size < 1:
            raise InputValidationError("page_size must be a positive integer.")
        return self._sessions_by_page(app_name, user_id, page_size)

    def _sessions_by_page(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Session]:
        # A generator of its own: what `iter_sessions` refuses is refused by the call, not by the first `next`.
        pages = telemetry.pages(self, "iter_sessions", self._pages(app_name, user_id, page_size))
        while True:
            with self._operation("list_sessions"):
                page = next(pages, None)
            if page is None:
                return
            for record in page:
                yield session_of(record, [])

    @traced
    def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Deletes a session and its events; the app's and the user's state stay.

        Deleting a session that does not exist does nothing.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        with self._operation("delete_session"):
            self._delete(key)

    @traced
    def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Reads the user's state, keys without the `user:` prefix."""
        names = checked_name("app_name", app_name), checked_name("user_id", user_id)
        with self._operation("get_user_state"):
            return dict(self._user_state(*names))

    @traced
    def append_event(self, session: Session, event: Event) -> Event:
        """Stores an event and applies its state delta, or does nothing at all.

        The event, the session's state, revision and time change together in
        storage, then in `session`. Appending the same event again is done
        once, also when an earlier try broke off with its outcome unknown.

        Args:
            session: A live session of this store.
            event: The event. A partial one is returned and not stored.

        Returns:
            The event. Temporary keys of its state delta are now only in `session.state`.

        Raises:
            SessionNotFoundError: The session was deleted, has expired, or never was.
            StaleSessionError: Storage has moved on since `session` was loaded.
            StateValueError: A value of its state delta has no JSON form.
            EventTooLargeError: It is over what the server stores.
        """
        append = Append.of(session, event)
        self._write([append], commit=True)
        return append.result()

    def append_many(self, appends: Iterable[tuple[Session, Event]]) -> list[Event | BaseException]:
        """Appends events to any number of sessions in as few round trips as possible.

        Args:
            appends: Pairs as for `append_event`. Events of one live session
                are stored in the order given; if storage refuses one, those
                after it are refused too.

        Returns:
            For each pair its event, or the exception that `append_event` would have raised.
        """
        pending = [Append.of(session, event) for session, event in appends]
        with telemetry.many(self, len(pending)):
            self._write(pending, commit=True)
        return [append.error or append.event for append in pending]

    def _encode(self, append: Append) -> int:
        """Encodes an append's event ahead of `_write`; returns its size in bytes."""
        return append.encode(coerce=self.options.unserializable == "coerce")

    def _write(self, appends: Sequence[Append], *, commit: bool = False) -> None:
        """Stores what `appends` hold and notes each one's outcome on it.

        Args:
            appends: What to store.
            commit: Whether this thread owns their live sessions and brings them
                up to date as well; else the caller does.
        """
        for append in appends:
            self._encode(append)
        encoded = [append for append in appends if append.wanted]
        with live_sessions.storing([append.session for append in encoded]):
            self._write_encoded(encoded)
            if commit:
                for append in encoded:
                    append.commit()

    def _write_encoded(self, appends: Sequence[Append]) -> None:
        waiting = [pieces(run) for run in runs(appends)]
        while waiting:
            self._write_pieces([run[0] for run in waiting])
            for done, *rest in waiting:
                # What follows a refused event of the same session is refused with it.
                if done[0].error is not None:
                    record_error([append for piece in rest for append in piece], done[0].error)
            waiting = [rest for done, *rest in waiting if rest and done[0].error is None]

    def _write_pieces(self, waiting: Sequence[Sequence[Append]]) -> None:
        sent, requests = [], []
        any_revision = self.options.on_stale == "append"
        for piece in waiting:
            try:
                requests.append(request(piece, any_revision=any_revision))
                sent.append(piece)
            except StaleSessionError as error:
                record_error(piece, error)
        try:
            self._check_open()
            outcomes = self._append(requests) if requests else []
        except Exception as error:
            outcomes = [AppendOutcome(error=error)] * len(requests)
        for piece, asked, outcome in zip(sent, requests, outcomes, strict=True):
            if outcome.error is None:
                record_revisions(piece, asked, outcome.revisions)
            else:
                self._driver_errors.tell(outcome.error, "append_event")
                if len(requests) == len(piece) == 1:  # whose traceback holds what is its own
                    piece[0].error = outcome.error
                else:
                    record_error(piece, outcome.error)

    def turn(
        self, *, app_name: str, user_id: str, session_id: str, wait: float | timedelta | str | None = WAIT
    ) -> AbstractContextManager[Turn]:
        """Holds the turn on a session: one holder at a time, across threads, processes and machines.

        Load the session inside, so that it is the one that the last holder left:

            with store.turn(app_name="shop", user_id="ada", session_id="s1"):
                session = store.get_session(app_name="shop", user_id="ada", session_id="s1")

        Whoever waits gets it in order of arrival. It is renewed while it is
        held; if its holder dies, it is free again 15 seconds later.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id; it need not exist yet.
            wait: How long to wait for it: seconds, a timedelta or a text such
                as "2m"; 0 not to wait, None for as long as it takes.

        Raises:
            SessionBusyError: On entering: others had it all that time.
            InputValidationError: `wait` is no duration, or this thread or task has the turn already.
            TurnLostError: On leaving: the process had been paused for so long that somebody else could have it.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        return holding(self._turns, key, seconds(wait))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def server_address(self) -> tuple[str, int | None] | None:
        """The server's name (or socket) and port, for spans; None where it is not one server, or not known."""

    def ping(self) -> None:
        """Makes one round trip to the server, for health checks; raises the driver's error."""
        with self._operation("ping"):
            self._ping()

    def close(self) -> None:
        """Closes the store, and its client if the store made it. May be called more than once.

        Every later operation raises `ClosedError`.
        """
        self._closed = True
        self._close()

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        """Refuses an operation on a closed store, and has the driver's errors name it."""
        self._check_open()
        with self._driver_errors.told(name):
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"This {type(self).__name__} is closed: make a new one.")

    @abstractmethod
    def _close(self) -> None:
        """Closes the client if this store made it. May be called more than once."""

    @abstractmethod
    def _ping(self) -> None:
        """Makes one round trip."""

    @abstractmethod
    def _insert(self, new: NewSession) -> SharedState | None:
        """Stores a new session and its state of all scopes, all or nothing.

        Returns:
            The app's and the user's state after it; None when the session exists.
        """

    @abstractmethod
    def _read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        """Reads one session; may return events older than `window.after`, never fewer."""

    @abstractmethod
    def _pages(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Sequence[SessionRecord]]:
        """Reads all sessions of an app or of one user, without events, page by page."""

    @abstractmethod
    def _delete(self, key: SessionKey) -> None:
        """Deletes one session and its events."""

    def _discard(self, key: SessionKey) -> None:
        """Deletes whatever is in the place of a session: one that is damaged, too, or what is none."""
        self._delete(key)

    @abstractmethod
    def _user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        """Reads the user's state, raw key to value."""

    @abstractmethod
    def _append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        """Stores each request's events and state, each request all or nothing.

        No two requests are of one live session. One request's error is its own.
        """


def _window(config: GetSessionConfig | None) -> Window:
    if config is None:
        return Window()
    if not isinstance(config, GetSessionConfig):
        raise InputValidationError(f"config must be a GetSessionConfig, not {type(config).__name__}.")
    recent, after = config.num_recent_events, config.after_timestamp
    if recent is not None and (not isinstance(recent, int) or recent < 0):
        raise InputValidationError("num_recent_events must be an integer, greater than or equal to 0.")
    if after is not None and not isinstance(after, (int, float)):
        raise InputValidationError("after_timestamp must be a number of seconds.")
    return Window(recent, after)


def session_of(record: SessionRecord, events: list[Event]) -> Session:
    """Makes the live session of a record."""
    key = record.key
    session = Session(
        id=key.session_id,
        app_name=key.app_name,
        user_id=key.user_id,
        state={**record.state, **record.shared.prefixed},
        last_update_time=record.last_update_time,
    )
    if events:
        session.events = events
    set_storage_marker(session, str(record.revision))
    return session
