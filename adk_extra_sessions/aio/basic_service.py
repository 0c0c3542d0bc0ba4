"""The async services: ADK's `BaseSessionService`, by calls of a blocking store.

Every method is one call in a worker thread, waited for by `threads.settle`.
Appends go through a queue, so that those that wait at the same moment are one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from google.adk.events import Event
from google.adk.sessions import BaseSessionService
from google.adk.sessions import Session as AdkSession
from google.adk.sessions.base_session_service import GetSessionConfig
from typing_extensions import Self, override

from adk_extra_sessions import usage
from adk_extra_sessions.aio.elastic_threads import ElasticThreads
from adk_extra_sessions.aio.group_commit import GroupCommit
from adk_extra_sessions.aio.threads import WorkerThreads, settle
from adk_extra_sessions.appends import Append
from adk_extra_sessions.details import UNSET, Unset
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.session import Session
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.telemetry import traced
from adk_extra_sessions.turns.holding import WAIT, holding_async, seconds
from adk_extra_sessions.turns.turn import Turn
from adk_extra_sessions.usage import Usage

T = TypeVar("T")

READ_THREADS = 16
"""Threads for everything but appends, at most; fewer than either driver's pool has connections."""


class BasicService(BaseSessionService):
    """The methods of `BasicStore` with `await`. `SessionService` adds the rest.

    Args:
        store: The store.
        owns_store: Whether closing the service closes the store.
    """

    store: SessionStore
    """The blocking store with all the logic; usable on its own."""

    def __init__(self, store: SessionStore, *, owns_store: bool = False) -> None:
        self.store = store
        self._owns_store = owns_store
        self._threads = ElasticThreads(READ_THREADS, "adk-sessions")
        self._commits = GroupCommit(store)
        self._usage = Usage(type(self).__name__)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuilt, (type(self), self.store, self._owns_store)

    @override
    @traced
    async def create_session(
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
        """Creates a session, as `SessionStore.create_session` does.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            state: Initial state; keys may begin with `app:`, `user:` or `temp:`.
            session_id: Its id; if blank or None, a new one is made.
            display_name: A name to show to people.
            labels: Names and short texts to find it by, such as `{"topic": "returns"}`.
            ttl: How long after its last write it expires, instead of the store's `ttl`; None for never.
            expire_time: When it expires, however often it is written to; None for never.

        Returns:
            The session, with its merged state and no events.

        Raises:
            AlreadyExistsError: The user has a session with this id.
            InputValidationError: An argument is wrong, or both `ttl` and `expire_time` are given.
            StateValueError: A state value has no JSON form.
        """
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        details = {"display_name": display_name, "labels": labels, "ttl": ttl, "expire_time": expire_time}
        return await self._run(self.store.create_session, state=state, **names, **details)

    @override
    @traced
    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Reads a session with its merged state and its events, as `SessionStore.get_session` does.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id.
            config: Which events to load: a number of the newest, or those since a time. Without it, the
                option `history` decides.

        Returns:
            The session, or None if it does not exist.
        """
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        return await self._run(self.store.get_session, config=config, **names)

    @override
    @traced
    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Deletes a session and its events, if it exists; the state of the app and of the user stays."""
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        await self._run(self.store.delete_session, **names)

    # Not marked as an override: google-adk has it since 2.3 only.
    @traced
    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Reads the user's state; its keys are without the prefix `user:`."""
        return await self._run(self.store.get_user_state, app_name=app_name, user_id=user_id)

    @override
    @traced
    async def append_event(self, session: AdkSession, event: Event) -> Event:
        """Stores an event and applies its state delta, or does nothing at all.

        Concurrent appends to one `Session` object are stored in the order in
        which they were started. A cancelled call returns only once the append
        has succeeded or failed.

        Args:
            session: A session that this service has returned.
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
        self._usage.check_open()
        await settle(self._commits.submit(append))
        return append.result()

    def turn(
        self, *, app_name: str, user_id: str, session_id: str, wait: float | timedelta | str | None = WAIT
    ) -> AbstractAsyncContextManager[Turn]:
        """Holds the turn on a session, as `SessionStore.turn` does: one holder at a time, on all machines.

        Run the agent inside, so that two messages to one session follow each other:

            async with service.turn(app_name="shop", user_id="ada", session_id="s1"):
                async for event in runner.run_async(user_id="ada", session_id="s1", new_message=message):
                    ...

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id; it need not exist yet.
            wait: How long to wait for the turn: seconds, a timedelta or a text such
                as "2m"; 0 for not at all, None for as long as it takes.

        Raises:
            SessionBusyError: On entering: it was not free in that time.
            InputValidationError: `wait` is not a duration, or this task has the turn already.
            TurnLostError: On leaving: this process was paused for so long that the turn was free for others.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        return self._turn(key, seconds(wait))

    def _turn(
        self, key: SessionKey, wait: float | None, abandoned: Callable[[], bool] | None = None
    ) -> AbstractAsyncContextManager[Turn]:
        return holding_async(self._run, self.store.turns, key, wait, abandoned)

    def _start(self, call: Callable[..., T], **named: Any) -> asyncio.Future[T]:
        self._usage.check_open()
        return self._threads.run(call, **named)

    async def _run(self, call: Callable[..., T], **named: Any) -> T:
        return await settle(self._start(call, **named))

    @override
    async def flush(self) -> None:
        """Waits until every append that was started before has succeeded or failed."""
        await settle(self._commits.flushed())

    async def ping(self) -> None:
        """Makes one round trip to the server, for health checks; raises the driver's error.

        Unlike the other methods, it can be cancelled at once.
        """
        await self._start(self.store.ping)

    async def close(self) -> None:
        """Waits for calls that are under way, and closes the store if this service made it.

        A call that has not begun after a minute, since many wait for a server that is gone, and every later call
        raise `ClosedError`. May be called more than once.
        """
        self._usage.close()
        closing = WorkerThreads(1, "adk-close")
        try:
            closed = closing.run(self._close)
        except RuntimeError:  # no thread can be started any more
            self._close()
        else:
            await settle(closed)
            closing.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _close(self) -> None:
        if self._owns_store:
            wait([*self._commits.unfinished(), *self._threads.unfinished()], usage.LONGEST)
            self.store.close()  # calls that have not begun by then, since the server is gone, get a ClosedError
        self._commits.close()
        self._threads.close()


def given_options(**options: Any) -> dict[str, Any]:
    """Returns the options of a store that a caller has given."""
    return {name: value for name, value in options.items() if value is not None}


def refuse_with_store(options: dict[str, Any]) -> None:
    """Raises `ConfigurationError` if there are options beside a store that has its own."""
    if options:
        raise ConfigurationError(f"Pass these options to the store, not to the service: {', '.join(sorted(options))}.")


def _rebuilt(cls: type[BasicService], store: SessionStore, owns_store: bool) -> BasicService:
    service = cls.__new__(cls)
    BasicService.__init__(service, store, owns_store=owns_store)
    return service
