"""ADK's rules for single sessions, once, over any backend."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from attrs import evolve
from google.adk.events import Event
from google.adk.sessions import Session as AdkSession
from google.adk.sessions.base_session_service import GetSessionConfig
from typing_extensions import Self

from adk_extra_sessions import telemetry
from adk_extra_sessions.abilities import managed
from adk_extra_sessions.appends import Append
from adk_extra_sessions.archive import Archive
from adk_extra_sessions.backends.base import Backend, Managed, TakesTurns
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.details import UNSET, SessionDetails, Unset
from adk_extra_sessions.driver_errors import DriverErrors, Operations
from adk_extra_sessions.errors import AlreadyExistsError, ConfigurationError
from adk_extra_sessions.history.event_cache import event_cache_of
from adk_extra_sessions.history.outlines import outlines_of
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import SessionKey, checked_name
from adk_extra_sessions.session import Session
from adk_extra_sessions.session_records import created_session, new_session, session_of, window_of
from adk_extra_sessions.telemetry import traced
from adk_extra_sessions.turns.holding import WAIT, holding, seconds
from adk_extra_sessions.turns.storage import NamedTurnStorage, TurnStorage
from adk_extra_sessions.turns.turn import Turn
from adk_extra_sessions.usage import Usage
from adk_extra_sessions.validation import checked_display_name, checked_labels, checked_lifetime
from adk_extra_sessions.writer import Writer


class BasicStore:
    """Creates, reads, appends to and deletes single sessions. `SessionStore` adds the methods to manage them.

    As a context manager it closes itself at the end, and its client if it
    made that.

    Args:
        backend: The database that keeps the sessions.
        options: Options that do not depend on the database; None for the defaults.
        codec: Turns events into what is stored, and back; None for one that stores their JSON text.
    """

    backend: Backend
    """The database that keeps the sessions."""

    def __init__(self, backend: Backend, options: StoreOptions | None = None, codec: Codec | None = None) -> None:
        self.backend = backend
        self.options = options or StoreOptions()
        self.codec = evolve(codec or Codec(), coerce=self.options.unserializable == "coerce")
        self._errors = DriverErrors(backend.driver_error, backend.server)
        self._usage = Usage(type(self).__name__)
        self.operation = Operations(self._errors, self._usage).named
        self._outlines = outlines_of(backend, self.codec, self.options.history)
        self._cache = event_cache_of(backend, self.codec, self.options)
        self.writer = Writer(backend, self.codec, self.options, self._errors, self._usage, self._outlines)

    @traced
    def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | timedelta | str | Unset | None = UNSET,
        expire_time: float | datetime | str | Unset | None = UNSET,
    ) -> Session:
        """Creates a session.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            state: Initial state. `app:` and `user:` keys go to the app's and
                the user's state; `temp:` keys only into the returned session.
            session_id: Its id, which is stripped of white space; if blank or None, a new one is made.
            display_name: A name to show to people.
            labels: Names and short texts to find it by, such as `{"topic": "returns"}`;
                each has at most 64 characters.
            ttl: How long after its last write it expires, instead of the
                store's `ttl`: seconds, a timedelta or a text such as "30d";
                None for never.
            expire_time: When it expires, however often it is written to:
                seconds since the epoch, a datetime with a time zone, or its
                text in ISO 8601; None for never.

        Returns:
            The session, with its merged state and no events.

        Raises:
            AlreadyExistsError: The user has a session with this id.
            InputValidationError: An argument is wrong, or both `ttl` and `expire_time` are given.
            StateValueError: A state value has no JSON form.
        """
        key = SessionKey.of(app_name, user_id, "" if session_id is None else session_id)
        details = SessionDetails(
            checked_display_name(display_name), checked_labels(labels), lifetime=checked_lifetime(ttl, expire_time)
        )
        new = new_session(key, state, details, self.codec)
        if details != SessionDetails():
            managed(self.backend)
        with self.operation("create_session"):
            shared = self.backend.create(new)
        if shared is None:
            raise AlreadyExistsError(f"Session with id {new.key.session_id!r} already exists.")
        if isinstance(self.backend, Managed):  # as it is read from storage
            expire_time = details.lifetime.expire_time_after(time.time(), self.options.ttl_ms)
            details = evolve(new.details, expire_time=expire_time)
        return created_session(new, state, shared, details)

    @traced
    def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Reads a session with its merged state and its events.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id.
            config: Which events to load: the newest `num_recent_events`, and
                of these the ones with `timestamp >= after_timestamp`. Without
                it, the options `history` and `cache` decide.

        Returns:
            The session, or None if it does not exist.

        Raises:
            CorruptRecordError: What is stored cannot be read.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        loader = self._outlines or self._cache
        if config is None and loader is not None:
            with self.operation("get_session"):
                loaded = loader.load(key)
            return None if loaded is None else session_of(loaded.record, loaded.events)
        window = window_of(config)
        with self.operation("get_session"):
            record = self.backend.read(key, window)
        if record is None:
            return None
        events = self.codec.decode(record.bodies, key, record.first)
        if window.after is not None:
            events = [event for event in events if event.timestamp >= window.after]
        return session_of(record, events)

    @traced
    def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Deletes a session and its events, if it exists; the state of the app and of the user stays."""
        key = SessionKey.of(app_name, user_id, session_id)
        with self.operation("delete_session"):
            self.backend.delete(key)
        if self._cache is not None:
            self._cache.forget(key)

    @traced
    def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Reads the user's state; its keys are without the prefix `user:`."""
        names = checked_name("app_name", app_name), checked_name("user_id", user_id)
        with self.operation("get_user_state"):
            return dict(self.backend.user_state(*names))

    @traced
    def append_event(self, session: AdkSession, event: Event) -> Event:
        """Stores an event and applies its state delta, or does nothing at all.

        Events, state, revision and time of the session change together in
        storage, then in `session`. An event that is appended again is stored
        only once, for example after an error that left open whether it was stored.

        Args:
            session: A session that this store has returned.
            event: The event. A partial one is returned and not stored.

        Returns:
            The event. Temporary keys of its state delta are then only in `session.state`.

        Raises:
            SessionNotFoundError: The session was deleted, has expired, or never existed.
            StaleSessionError: The session was changed in storage since `session` was loaded.
            StateValueError: A value of its state delta has no JSON form.
            EventTooLargeError: It is larger than the server can store.
        """
        append = Append.of(session, event)
        self.writer.write([append], commit=True)
        return append.result()

    def append_many(self, appends: Iterable[tuple[AdkSession, Event]]) -> list[Event | BaseException]:
        """Appends events to any number of sessions in as few round trips as possible.

        Args:
            appends: Pairs of a session and an event, as for `append_event`.
                Events of one `Session` object are stored in this order; if
                one is refused, all after it are refused too.

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

        Load the session inside, so that it has what the last holder stored:

            with store.turn(app_name="shop", user_id="ada", session_id="s1"):
                session = store.get_session(app_name="shop", user_id="ada", session_id="s1")

        Waiting callers get it in the order in which they came. It is renewed
        while it is held; if its holder dies, it is free again 15 seconds later.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id; it need not exist yet.
            wait: How long to wait for the turn: seconds, a timedelta or a text such
                as "2m"; 0 for not at all, None for as long as it takes.

        Raises:
            SessionBusyError: On entering: it was not free in that time.
            InputValidationError: `wait` is not a duration, this thread or task has the turn already, or a task of
                the event loop in this thread has it, which could not give it back meanwhile.
            TurnLostError: On leaving: this process was paused for so long that the turn was free for others.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        return holding(self.turns, key, seconds(wait))

    @property
    def turns(self) -> TurnStorage:
        """Where turns are kept.

        Raises:
            ConfigurationError: The backend has no turns.
            ClosedError: The store is closed.
        """
        self._usage.check_open()
        if isinstance(self.backend, TakesTurns):
            return NamedTurnStorage(self.backend.turns, self.operation)
        raise ConfigurationError(f"A {type(self.backend).__name__} does not support turns.")

    @property
    def archive(self) -> Archive:
        """Access to everything as it is stored: for copies, exports and the doctor.

        Raises:
            ConfigurationError: The backend cannot be copied.
        """
        return Archive.of(self.backend, self.operation, self._errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def server_address(self) -> tuple[str, int | None] | None:
        """Returns the server's name (or socket) and port, for spans; None if there are several, or it is not known."""
        return self.backend.server_address()

    def ping(self) -> None:
        """Makes one round trip to the server, for health checks; raises the driver's error."""
        with self.operation("ping"):
            self.backend.ping()

    def close(self) -> None:
        """Closes the store, and its client if the store made it. May be called more than once.

        Waits for operations of other threads, a minute at most. Every later operation raises `ClosedError`.
        """
        self._usage.close()
        self.backend.close()
