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
        uri: The same as `redis_url`, by the name that ADK's `services.yaml` uses.
        store: Instead of a URL: a store. The service does not close it.
        agents_dir: Not used; ADK's command line passes it.
        client: As for `RedisSessionStore`, like all options below.
        prefix: The prefix of all keys; None for "adk".
        ttl: How long after its last write a session expires: seconds, a
            timedelta or a text such as "30d"; None for never.
        refresh_on_read: Whether reading a session starts its `ttl` again, like a write.
        wait_replicas: How many replicas must have a write before the call
            returns; None for none.
        wait_timeout: How long to wait for them, given like `ttl`; None for 2 seconds.
        on_stale: What to do with an event for a session that was changed in
            storage since it was loaded: "raise" `StaleSessionError`, or
            "append" it at the end.
        unserializable: What to do with a state value that has no JSON form:
            "raise" `StateValueError`, or "coerce" it to a string with a warning.
        history: Which events `get_session` loads without a config: "all";
            "compacted" for those that no summary of ADK's event compaction
            replaces; or a number, for at least that many of the newest.
            Function calls that wait for a response are always among them.
        cache: How much decoded history to keep in memory, so that
            `get_session` without a config reads and decodes only new events:
            bytes of stored events, or a text such as "64MB"; None for
            nothing. The sessions share the event objects: do not change them.
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
        cache: int | str | None = None,
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
            cache=cache,
        )
        if store is None:
            from adk_extra_sessions import RedisSessionStore  # names what to install if the driver is missing

            made = RedisSessionStore(redis_url or uri, client=client, **given, **from_url_options)
            super().__init__(made, owns_store=True)
        else:
            refuse_with_store({**given, **from_url_options})
            super().__init__(store)
