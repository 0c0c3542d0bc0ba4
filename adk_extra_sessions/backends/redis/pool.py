"""A pool of connections to Redis."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import redis


class ConnectionPool(redis.BlockingConnectionPool):
    """A pool that takes no connection back on which a reply may be outstanding.

    redis-py closes a connection when a read of it fails, and puts it back when
    Ctrl-C, or the exception of another signal handler, comes just before the
    read. The next command would get the reply of the one that was interrupted.
    """

    def get_connection(self, *arguments: Any, **named: Any) -> Any:
        """Takes a connection out of the pool."""
        connection: Any = super().get_connection(*arguments, **named)  # type: ignore[no-untyped-call]
        connection.handled_error = sys.exc_info()[1]  # of a caller that is in an `except` block
        return connection

    def release(self, connection: Any) -> None:
        """Puts a connection back; closes it first if an error that is not redis-py's is what releases it."""
        error = sys.exc_info()[1]
        if error is not getattr(connection, "handled_error", None) and not isinstance(error, redis.RedisError):
            connection.disconnect()
        connection.handled_error = None
        super().release(connection)  # type: ignore[no-untyped-call]


def made_pool(url: str, options: Mapping[str, Any]) -> redis.BlockingConnectionPool | None:
    """Makes a pool of connections; None if redis-py does not take a part of the URL or an option."""
    try:
        return ConnectionPool.from_url(url, **options)
    except (ValueError, TypeError, AttributeError, redis.RedisError):
        return None  # its words may hold a part of the URL: ours must not have it as their context
