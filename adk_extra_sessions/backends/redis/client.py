"""Making a redis-py client from a URL, with limits on every wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from adk_extra_sessions.backends.redis.option_checks import check_names, check_path, check_values, refused
from adk_extra_sessions.backends.redis.pool import made_pool
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.options import refused_client
from adk_extra_sessions.urls import REDIS_SCHEMES, checked_scheme, query_names

POOL_SIZE = 50
"""Connections at most, unless `max_connections` says otherwise."""


def make_client(url: str, options: Mapping[str, Any]) -> Any:
    """Makes a client; it connects when first used.

    Args:
        url: `redis://`, `rediss://`, `unix://` or, for the in-process fake, `fakeredis://NAME`.
        options: Keyword arguments of `redis.Redis.from_url`.

    Raises:
        ConfigurationError: redis-py does not take the URL or an option, or would ignore the URL's path.
    """
    scheme = checked_scheme(url, REDIS_SCHEMES)
    check_names(url, options)
    check_path(url)
    if scheme == "fakeredis":
        from adk_extra_sessions.testing.fakes import fake_redis

        return fake_redis(url, options)
    if "connection_pool" in options:
        raise ConfigurationError("Pass a client made with that connection_pool as client= instead.")
    # Every wait is bounded; a lost connection is tried again, which is safe
    # because each script recognises its own repetition.
    bounded = {
        "socket_timeout": 10.0,
        "socket_connect_timeout": 5.0,
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), 3),
        "retry_on_error": [ConnectionError, TimeoutError],
        "max_connections": POOL_SIZE,
        "timeout": 20,
    }
    given = {*options, *query_names(url)}
    defaults = {name: value for name, value in bounded.items() if name not in given}
    pool = made_pool(url, {**defaults, **options})
    if pool is None:
        raise refused(url, options)
    check_values(url, options, pool)
    return redis.Redis(connection_pool=pool)


def checked_client(client: Any) -> Any:
    """Returns a client that a caller passed, if it is one that this package can use.

    Raises:
        ConfigurationError: It is not a blocking client of redis-py, or its encoding is not UTF-8.
    """
    if not isinstance(client, (redis.Redis, redis.RedisCluster)):
        raise refused_client(client, "a redis.Redis or redis.RedisCluster")
    encoding = client.get_encoder().encoding
    if encoding.lower().replace("-", "") != "utf8":
        raise ConfigurationError(f"client must use the encoding utf-8, not {encoding}.")
    return client


def database_number(client: Any) -> str:
    """Returns the number of the database that a client uses; a cluster has only one."""
    return str(_connection_options(client).get("db") or 0)


def address_of(client: Any) -> tuple[str, int | None] | None:
    """Returns where a client's server is: host and port, or a socket's path; None for a cluster or a Sentinel's."""
    options = _connection_options(client)
    if options.get("path"):
        return str(options["path"]), None
    return (str(options["host"]), options.get("port")) if options.get("host") else None


def _connection_options(client: Any) -> dict[str, Any]:
    pool = getattr(client, "connection_pool", None)
    return pool.connection_kwargs if pool is not None else {}


def server_of(client: Any) -> str:
    """Returns the name in error messages of the server of a client that a caller passed."""
    if isinstance(client, redis.RedisCluster):
        return f"the Redis Cluster of {client.get_default_node().name}"  # type: ignore[no-untyped-call]
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return f"the Sentinel's {pool.service_name}"
    options = pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
