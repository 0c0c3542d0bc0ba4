"""The blocking session store: ADK's session rules, once, over any backend."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
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
from adk_extra_sessions.appends import Append
from adk_extra_sessions.archive import Archive
from adk_extra_sessions.backends.base import Backend, TakesTurns
from adk_extra_sessions.codec import decode_events, decode_value, encode_state
from adk_extra_sessions.driver_errors import DriverErrors
from adk_extra_sessions.errors import AlreadyExistsError, ClosedError, ConfigurationError, InputValidationError
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import NewSession, SessionKey, SessionRecord, checked_name
from adk_extra_sessions.sessions import session_of, window_of
from adk_extra_sessions.state import split
from adk_extra_sessions.telemetry import traced
from adk_extra_sessions.turns.holding import WAIT, holding, seconds
from adk_extra_sessions.turns.storage import NamedTurnStorage, TurnStorage
from adk_extra_sessions.turns.turn import Turn
from adk_extra_sessions.writer import Writer


class SessionStore:
    """A blocking session store: ADK's `BaseSessionService` minus `await`.

    Safe to share between threads. A context manager: leaving it closes the
    client, unless that was the caller's own.

    Args:
        backend: The database that keeps the sessions.
        options: What the rules leave open; None for the defaults.
    """

    backend: Backend
    """The database that keeps the sessions."""

    def __init__(self, backend: Backend, options: StoreOptions | None = None) -> None:
        self.backend = backend
        self.options = options or StoreOptions()
        self._errors = DriverErrors(backend.driver_error, backend.server)
        self._closed = False
        self.writer = Writer(backend, self.options, self._errors, self._check_open)

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
            shared = self.backend.create(new)
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
        window = window_of(config)
        with self._operation("get_session"):
            record = self.backend.read(key, window)
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
        pages = telemetry.pages(self.backend, "iter_sessions", self.backend.pages(app_name, user_id, page_size))
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
            self.backend.delete(key)

    @traced
    def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Reads the user's state, keys without the `user:` prefix."""
        names = checked_name("app_name", app_name), checked_name("user_id", user_id)
        with self._operation("get_user_state"):
            return dict(self.backend.user_state(*names))

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
        self.writer.write([append], commit=True)
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
        with telemetry.many(self.backend, len(pending)):
            self.writer.write(pending, commit=True)
        return [append.error or append.event for append in pending]

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
        return holding(self.turns, key, seconds(wait))

    @property
    def turns(self) -> TurnStorage:
        """Where turns are kept.

        Raises:
            ConfigurationError: The backend keeps none.
            ClosedError: The store is closed.
        """
        self._check_open()
        if isinstance(self.backend, TakesTurns):
            return NamedTurnStorage(self.backend.turns, self._errors)
        raise ConfigurationError(f"A {type(self.backend).__name__} keeps no turns.")

    @property
    def archive(self) -> Archive:
        """All that the store keeps, as it is stored: for copies, exports and examinations.

        Raises:
            ConfigurationError: The backend cannot be copied.
        """
        return Archive.of(self.backend, self._operation, self._errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def server_address(self) -> tuple[str, int | None] | None:
        """Returns the server's name (or socket) and port, for spans; None where it is not one server, or not known."""
        return self.backend.server_address()

    def ping(self) -> None:
        """Makes one round trip to the server, for health checks; raises the driver's error."""
        with self._operation("ping"):
            self.backend.ping()

    def close(self) -> None:
        """Closes the store, and its client if the store made it. May be called more than once.

        Every later operation raises `ClosedError`.
        """
        self._closed = True
        self.backend.close()

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        """Refuses an operation on a closed store, and adds its name to the driver's errors."""
        self._check_open()
        with self._errors.named(name):
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"This {type(self).__name__} is closed: make a new one.")
