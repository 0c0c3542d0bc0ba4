"""What there is to say about a MongoDB server that keeps sessions."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from adk_extra_sessions.stores.findings import Finding, Level
from adk_extra_sessions.stores.mongodb.indexes import TABLE, Index
from adk_extra_sessions.stores.mongodb.shared_state import RESCUE_AFTER

ENSURE = "Call ensure_indexes() of a store with the ttl you want, as a user who may make indexes."


def findings(database: Any, prefix: str, ttl_ms: int) -> Iterator[Finding]:
    """Examines version, durability, indexes, expiry, size, and state that was not applied."""
    yield Finding(Level.OK, "version", f"MongoDB {database.client.server_info()['version']}")
    if isinstance(database.client, MongoClient):  # no fake
        yield _write_concern(database)
        for name in ("sessions", "event_chunks", "state"):
            yield _size(database, prefix + name)
    for index in TABLE:
        yield from _index(database[prefix + index.collection], index, ttl_ms)
    yield _pending(database[f"{prefix}sessions"])


def _write_concern(database: Any) -> Finding:
    concern = database.write_concern
    if concern.document.get("w") == "majority" or concern.document.get("j"):
        return Finding(Level.OK, "durability", "writes wait for the journal")
    text = "writes do not wait for the journal: a failover or crash may lose the last ones"
    return Finding(Level.NOTE, "durability", text, "Leave w out of the URL, or set w=majority.")


def _size(database: Any, name: str) -> Finding:
    try:
        stats = database.command("collStats", name)
    except PyMongoError as error:
        return Finding(Level.NOTE, "size", f"{name}: not told ({type(error).__name__})")
    sizes = (
        f"{stats.get('size', 0) / 2**20:,.1f} MiB of data, {stats.get('totalIndexSize', 0) / 2**20:,.1f} MiB of indexes"
    )
    return Finding(Level.OK, "size", f"{name}: {stats.get('count', 0):,} documents, {sizes}")


def _index(collection: Any, index: Index, ttl_ms: int) -> Iterator[Finding]:
    found = collection.index_information().get(index.name)
    if not index.ttl_factor:
        if found:
            yield Finding(Level.OK, "indexes", f"{index.name} is there")
        else:
            text = f"{index.name} is missing: reading by time, and long histories, are slow"
            yield Finding(Level.PROBLEM, "indexes", text, ENSURE)
        return
    wanted = math.ceil(ttl_ms / 1000) * index.ttl_factor
    seconds = (found or {}).get("expireAfterSeconds")
    if seconds == (wanted or None):
        text = f"{index.name}: after {seconds:,} s" if seconds else f"{index.name}: none, nothing expires"
        yield Finding(Level.OK, "expiry", text)
    elif not wanted:
        text = f"{index.name} makes documents expire after {seconds:,} s, and this URL has no ttl"
        yield Finding(
            Level.NOTE, "expiry", text, f"Give the URL the same ttl as your application's, or drop {index.name}."
        )
    else:
        now = "missing" if seconds is None else f"set to {seconds:,} s"
        text = f"{index.name} is {now}, and ttl asks for {wanted:,} s"
        yield Finding(Level.PROBLEM, "expiry", text, ENSURE)


def _pending(sessions: Any) -> Finding:
    left = sessions.count_documents({"pending.time": {"$lt": time.time() - RESCUE_AFTER}})
    if not left:
        return Finding(Level.OK, "shared state", "all of it has been applied")
    text = f"{left:,} sessions hold app: or user: state that a crash kept from being applied"
    return Finding(Level.NOTE, "shared state", text, "Nothing needs to be done: it is applied when they are read next.")
