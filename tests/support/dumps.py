"""Everything on a server, as bytes in which a name can be looked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore


def everything(store: SessionStore) -> Iterator[bytes]:
    """Yields all keys and values, or databases, collections, indexes and documents, of the server behind a store."""
    if isinstance(store, RedisSessionStore):
        for key in store.client.scan_iter(count=10_000):
            name = key if isinstance(key, bytes) else key.encode()
            yield from (name, repr(_value(store.client, key)).encode())
    elif isinstance(store, MongoSessionStore):
        for name in store.client.list_database_names():
            if name in ("admin", "config", "local"):  # the log of a replica set is outside of what can be erased
                continue
            for collection in store.client[name].list_collection_names():
                held = store.client[name][collection]
                yield f"{name}.{collection} {held.index_information()}".encode()
                for document in held.find():
                    yield bson.encode(document)


def holding(store: SessionStore, word: str) -> list[bytes]:
    """Returns what holds a word that no escape changes."""
    return [one[:300] for one in everything(store) if word.encode() in one]


def _value(client: Any, key: Any) -> Any:
    kind = client.type(key)
    kind = kind.decode() if isinstance(kind, bytes) else kind
    read = {
        "string": lambda: client.get(key),
        "hash": lambda: client.hgetall(key),
        "list": lambda: client.lrange(key, 0, -1),
        "zset": lambda: client.zrange(key, 0, -1, withscores=True),
        "set": lambda: client.smembers(key),
        "none": lambda: None,
    }
    return read[kind]()
