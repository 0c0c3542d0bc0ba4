"""The async service on Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from adk_extra_sessions.aio.basic_service import given_options, refuse_with_store
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.options import History
from adk_extra_sessions.urls import exactly_one

if TYPE_CHECKING:
    import redis

    from adk_extra_sessions.backends.redis.driver_options import RedisDriverOptions
    from adk_extra_sessions.backends.redis.store import RedisSessionStore


class RedisSessionService(SessionService):
    """Sessions on Redis, for a `Runner`.

    Args:
        redis_url: As for `RedisSessionStore`.
        uri: The same; what ADK's `services.yaml` calls it.
        store: Instead of a URL, a store. It is not closed with the service.
        agents_dir: Passed by ADK's command line; not needed.
        client: As for `RedisSessionStore`, and so are all that follow.
        prefix: What all keys begin with. None: "adk".
        ttl: Seconds, a timedelta or a text such as "30d" after its last
            write at which a session expires. None: never.
        refresh_on_read: Whether reading a session renews its expiry too.
        wait_replicas: How many replicas must have a write before it counts
            as stored. None: it need not leave the master.
        wait_timeout: How long to wait for them, as for `ttl`. None: 2 seconds.
        on_stale: What an append to a superseded session does: "raise"
            `StaleSessionError`, or "append" the event at the end.
        unserializable: What to do with a state value without a JSON form:
            "raise" `StateValueError`, or "coerce" it to a string with a warning.
        history: Which events `get_session` loads when it is given no config:
            "all"; "compacted", those that no summary of ADK's compaction
            replaces; or at least so many of the newest. In both cases calls
            that wait for an answer are loaded too.
        **from_url_options: Passed to `redis.Redis.from_url`.

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
        client: redis.Redis | redis.RedisCluster | None = None,
        prefix: str | None = None,
        ttl: float | timedelta | str | None = None,
        refresh_on_read: bool | None = None,
        wait_replicas: int | None = None,
        wait_timeout: float | timedelta | str | None = None,
        on_stale: Literal["raise", "append"] | None = None,
        unserializable: Literal["raise", "coerce"] | None = None,
        history: History | None = None,
        **from_url_options: Unpack[RedisDriverOptions],
    ) -> None:
        exactly_one(redis_url=redis_url, uri=uri, store=store, client=client)
        given = given_options(
            prefix=prefix,
            ttl=ttl,
            refresh_on_read=refresh_on_read,
            wait_replicas=wait_replicas,
            wait_timeout=wait_timeout,
            on_stale=on_stale,
            unserializable=unserializable,
            history=history,
        )
        if store is None:
            from adk_extra_sessions import RedisSessionStore  # names what to install if the driver is missing

            made = RedisSessionStore(redis_url or uri, client=client, **given, **from_url_options)
            super().__init__(made, owns_store=True)
        else:
            refuse_with_store({**given, **from_url_options})
            super().__init__(store)
