"""All that a store has on its server, taken and put back: what a failover that loses the newest writes leaves."""

from __future__ import annotations

import copy
from typing import Any

from support import redis_dump

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore

DICTIONARIES = ("_sessions", "_apps", "_users", "_expire_times")
"""Of `ManagedMemoryBackend`."""


def take(store: SessionStore) -> Any:
    """Returns a copy of all keys or documents."""
    if isinstance(store, MongoSessionStore):
        database = store.client[store.db_name]
        return {name: list(database[name].find()) for name in database.list_collection_names()}
    if isinstance(store, RedisSessionStore):
        return redis_dump.dump(store)
    return {name: copy.deepcopy(getattr(store.backend, name)) for name in DICTIONARIES}


def put_back(store: SessionStore, snapshot: Any) -> None:
    """Makes what is stored what it was when the snapshot was taken."""
    if isinstance(store, MongoSessionStore):
        for name in store.client[store.db_name].list_collection_names():
            collection = store.client[store.db_name][name]
            collection.delete_many({})
            if snapshot.get(name):
                collection.insert_many(snapshot[name])
    elif isinstance(store, RedisSessionStore):
        for key in list(store.client.scan_iter(match=f"{store.prefix}:*")):
            store.client.delete(key)
        redis_dump.load(store, snapshot)
    else:
        for name, held in copy.deepcopy(snapshot).items():
            setattr(store.backend, name, held)
