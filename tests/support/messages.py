"""What a store sends to its server, message by message: to count, to hold up, or to die at one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
import redis
from pymongo import monitoring
from redis.connection import Connection

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore

APPENDING = 4
"""Messages of an append that changes the app's state, where that is not in the session's place."""


class _Listener(monitoring.CommandListener):
    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.before()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class WatchedStore:
    """A store of its own client on real servers, whose messages can be watched.

    Args:
        url: The server's.
        place: The store's `db_name` or `prefix`.
    """

    def __init__(self, url: str, place: str) -> None:
        self._listener = _Listener()
        self.store: SessionStore
        if url.startswith("mongodb"):
            client: Any = pymongo.MongoClient(url, w="majority", event_listeners=[self._listener])
            self.store = MongoSessionStore(client=client, db_name=place)
            self.store.ensure_indexes()
        else:
            client = redis.RedisCluster.from_url(url)
            self.store = RedisSessionStore(client=client, prefix=place)
        self._client = client
        self._place = place.encode()

    @contextmanager
    def at_message(self, number: int, action: Callable[[], None]) -> Iterator[None]:
        """Does something just before the store sends a message: the first is number 1."""
        sent = 0

        def before() -> None:
            nonlocal sent
            sent += 1
            if sent == number:
                action()

        if isinstance(self.store, MongoSessionStore):
            self._listener.before = before
            yield
            self._listener.before = lambda: None
            return
        pools = [node.redis_connection.connection_pool for node in self._client.get_nodes()]
        classes = [pool.connection_class for pool in pools]
        for pool in pools:
            pool.disconnect()
            pool.reset()
            pool.connection_class = _watched(pool.connection_class, self._place, before)
        yield
        for pool, kind in zip(pools, classes, strict=True):
            pool.disconnect()
            pool.reset()
            pool.connection_class = kind

    def close(self) -> None:
        """Closes the store and its client."""
        self.store.close()
        self._client.close()


def _watched(kind: type[Connection], place: bytes, before: Callable[[], None]) -> type[Connection]:
    class Watched(kind):  # type: ignore[misc, valid-type]
        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            if place in b"".join([command] if isinstance(command, bytes) else command):
                before()
            super().send_packed_command(command, check_health)

    return Watched
