"""The blocking store on Redis: options and a client, made into a backend for ADK's rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import redis
from typing_extensions import Unpack

from adk_extra_sessions.backends.redis.backend import RedisBackend
from adk_extra_sessions.backends.redis.client import checked_client, make_client, server_of
from adk_extra_sessions.backends.redis.driver_options import RedisDriverOptions
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.options import History, RedisOptions
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.urls import exactly_one


class RedisSessionStore(SessionStore):
    """A blocking session store on Redis, for scripts and notebooks.

    `RedisSessionService` is the same for a `Runner`.

    Args:
        redis_url: `redis://`, `rediss://` or `unix://` as redis-py takes it,
            or `fakeredis://NAME` for an in-process fake. The options below
            may be given in its query string.
        client: Instead of a URL: a `redis.Redis`, also from a Sentinel's
            `master_for`, or a `redis.RedisCluster`. The store never closes it.
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
        ConfigurationError: A wrong URL or option.
    """

    backend: RedisBackend

    def __init__(
        self,
        redis_url: str | None = None,
        *,
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
        exactly_one(redis_url=redis_url, client=client)
        given = dict(
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
        self._arguments = {"redis_url": redis_url, **given, **from_url_options}
        self._owns_client = client is None
        url, options = RedisOptions.read(redis_url, given)
        self.prefix: str = options.prefix
        self.refresh_on_read: bool = options.refresh_on_read
        self.client: Any = checked_client(client) if client is not None else make_client(str(url), from_url_options)
        backend = RedisBackend(
            self.client,
            redact(url) if self._owns_client else server_of(self.client),
            owns_client=self._owns_client,
            prefix=self.prefix,
            ttl_ms=options.ttl_ms,
            refresh_on_read=self.refresh_on_read,
            replication=Replication.of(self.client, options.wait_replicas, options.wait_timeout),
        )
        super().__init__(backend, options)

    def __repr__(self) -> str:
        place = redact(self._arguments["redis_url"]) if self._owns_client else "client given"
        return f"{type(self).__name__}({place!r}, prefix={self.prefix!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._owns_client:
            raise TypeError(f"A {type(self).__name__} with client= cannot be pickled: create it with a redis_url.")
        return _rebuilt, (type(self), self._arguments)


def _rebuilt(cls: type[RedisSessionStore], arguments: dict[str, Any]) -> RedisSessionStore:
    return cls(**arguments)
