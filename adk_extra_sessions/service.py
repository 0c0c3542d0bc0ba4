"""The async services: ADK's `BaseSessionService` over a blocking store, and nothing more.

Every method is one call in a worker thread, waited for by `threads.settle`.
Appends go through a queue, so that those waiting at one moment travel together.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from google.adk.events import Event
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse
from typing_extensions import Self, override

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.group_commit import GroupCommit
from adk_extra_sessions.stores.appends import Append
from adk_extra_sessions.stores.base import SessionStore
from adk_extra_sessions.telemetry import traced
from adk_extra_sessions.threads import WorkerThreads, settle
from adk_extra_sessions.urls import exactly_one

if TYPE_CHECKING:
    from adk_extra_sessions.stores.mongodb.store import MongoSessionStore
    from adk_extra_sessions.stores.redis.store import RedisSessionStore

READ_THREADS = 16
"""Threads for everything but appends, at most; fewer than either driver's pool has connections."""


class SessionService(BaseSessionService):
    """A session service over any store. May be shared by any number of event loops."""

    store: SessionStore
    """The blocking store with all the logic; usable on its own."""

    def __init__(self, store: SessionStore, *, owns_store: bool = False) -> None:
        """Wraps a store.

        Args:
            store: The store to run.
            owns_store: Whether closing the service closes the store.
        """
        self.store = store
        self._owns_store = owns_store
        self._threads = WorkerThreads(READ_THREADS, "adk-sessions")
        self._commits = GroupCommit(store)

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
    ) -> Session:
        """See `SessionStore.create_session`."""
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        return await settle(self._threads.run(self.store.create_session, state=state, **names))

    @override
    @traced
    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """See `SessionStore.get_session`."""
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        return await settle(self._threads.run(self.store.get_session, config=config, **names))

    @override
    @traced
    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """See `SessionStore.list_sessions`."""
        return await settle(self._threads.run(self.store.list_sessions, app_name=app_name, user_id=user_id))

    @override
    @traced
    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """See `SessionStore.delete_session`."""
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        await settle(self._threads.run(self.store.delete_session, **names))

    # Not marked as an override: google-adk has it since 2.3 only.
    @traced
    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """See `SessionStore.get_user_state`."""
        return await settle(self._threads.run(self.store.get_user_state, app_name=app_name, user_id=user_id))

    @override
    @traced
    async def append_event(self, session: Session, event: Event) -> Event:
        """See `SessionStore.append_event`.

        Appends started at once on one session object are stored in the order
        started. Cancelling the call waits for its outcome.
        """
        append = Append.of(session, event)
        try:
            await settle(self._commits.submit(append))
        finally:
            append.commit()
        return append.result()

    @override
    async def flush(self) -> None:
        """Returns when every append started before has its outcome."""
        await settle(self._commits.flushed())

    async def close(self) -> None:
        """Waits for what is under way and closes the store, if this service made it."""
        closing = WorkerThreads(1, "adk-close")
        await settle(closing.run(self._close))
        closing.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _close(self) -> None:
        self._commits.close()
        self._threads.close()
        if self._owns_store:
            self.store.close()


class RedisSessionService(SessionService):
    """Sessions on Redis, for a `Runner`.

    Args:
        redis_url: As for `RedisSessionStore`.
        uri: The same; what ADK's `services.yaml` calls it.
        store: Instead of a URL, a store. It is not closed with the service.
        agents_dir: Passed by ADK's command line; not needed.
        **options: Further arguments of `RedisSessionStore`: `client`,
            `prefix`, `ttl`, `refresh_on_read`, `on_stale`, `unserializable`,
            and keyword arguments of `redis.Redis.from_url`.

    Raises:
        ConfigurationError: A wrong URL, option or combination of them.
    """

    store: RedisSessionStore

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        uri: str | None = None,
        store: RedisSessionStore | None = None,
        agents_dir: str | None = None,
        **options: Any,
    ) -> None:
        exactly_one(redis_url=redis_url, uri=uri, store=store, client=options.get("client"))
        if store is None:
            try:
                from adk_extra_sessions.stores.redis.store import RedisSessionStore
            except ModuleNotFoundError as error:
                raise _missing_driver(error, "redis") from None
            super().__init__(RedisSessionStore(redis_url or uri, **options), owns_store=True)
        else:
            _refuse_with_store(options)
            super().__init__(store)


class MongoSessionService(SessionService):
    """Sessions on MongoDB, for a `Runner`.

    Args:
        mongo_url: As for `MongoSessionStore`.
        db_name: The database; may be the URL's path instead.
        uri: The same as `mongo_url`; what ADK's `services.yaml` calls it.
        store: Instead of a URL, a store. It is not closed with the service.
        agents_dir: Passed by ADK's command line; not needed.
        **options: Further arguments of `MongoSessionStore`: `client`,
            `collection_prefix`, `ttl`, `on_stale`, `unserializable`, and
            keyword arguments of `pymongo.MongoClient`.

    Raises:
        ConfigurationError: A wrong URL, option or combination of them.
    """

    store: MongoSessionStore

    def __init__(
        self,
        mongo_url: str | None = None,
        db_name: str | None = None,
        *,
        uri: str | None = None,
        store: MongoSessionStore | None = None,
        agents_dir: str | None = None,
        **options: Any,
    ) -> None:
        exactly_one(mongo_url=mongo_url, uri=uri, store=store, client=options.get("client"))
        if store is None:
            try:
                from adk_extra_sessions.stores.mongodb.store import MongoSessionStore
            except ModuleNotFoundError as error:
                raise _missing_driver(error, "mongodb") from None
            super().__init__(MongoSessionStore(mongo_url or uri, db_name=db_name, **options), owns_store=True)
        else:
            _refuse_with_store({**options, **({"db_name": db_name} if db_name else {})})
            super().__init__(store)


def _refuse_with_store(options: dict[str, Any]) -> None:
    if options:
        raise ConfigurationError(f"Options {', '.join(sorted(options))} belong to the store that was given.")


def _missing_driver(error: ModuleNotFoundError, extra: str) -> ConfigurationError:
    return ConfigurationError(f"{error.name} is not installed: pip install 'adk-extra-sessions[{extra}]'")


def _rebuilt(cls: type[SessionService], store: SessionStore, owns_store: bool) -> SessionService:
    service = cls.__new__(cls)
    SessionService.__init__(service, store, owns_store=owns_store)
    return service
