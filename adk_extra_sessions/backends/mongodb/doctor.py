"""What there is to say about a MongoDB server that keeps sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from adk_extra_sessions.backends.findings import Finding, Level
from adk_extra_sessions.backends.mongodb.indexes import TABLE, Index
from adk_extra_sessions.backends.mongodb.layout import CHUNKS, SESSIONS, STATE

ENSURE = "Call ensure_indexes() of a store, as a user who may make indexes."

UNTOLD = "Nothing needs to be done: the user may not ask, or the client's ServerApi is strict."


def findings(database: Any, prefix: str) -> Iterator[Finding]:
    """Examines version, durability, indexes, expiry, size, and state that was not applied."""
    yield _version(database)
    if isinstance(database.client, MongoClient):  # no fake
        yield _write_concern(database)
        for name in (SESSIONS, CHUNKS, STATE):
            yield _size(database, prefix + name)
    for index in TABLE:
        yield from _index(database[prefix + index.collection], index)
    yield _pending(database[prefix + SESSIONS])


def _version(database: Any) -> Finding:
    try:
        return Finding(Level.OK, "version", f"MongoDB {database.client.server_info()['version']}")
    except OperationFailure as error:  # not in the Stable API, which a client may be bound to
        return Finding(Level.NOTE, "version", f"not told ({type(error).__name__})", UNTOLD)


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
        return Finding(Level.NOTE, "size", f"{name}: not told ({type(error).__name__})", UNTOLD)
    sizes = (
        f"{stats.get('size', 0) / 2**20:,.1f} MiB of data, {stats.get('totalIndexSize', 0) / 2**20:,.1f} MiB of indexes"
    )
    return Finding(Level.OK, "size", f"{name}: {stats.get('count', 0):,} documents, {sizes}")


def _index(collection: Any, index: Index) -> Iterator[Finding]:
    known = collection.index_information()
    found = known.get(index.name)
    subject = "expiry" if index.expires else "indexes"
    if not known:
        yield Finding(Level.OK, subject, f"{index.name}: nothing is stored yet; the first write makes it")
    elif found is None:
        without = "what has expired stays on the server" if index.expires else "reading by time is slow"
        yield Finding(Level.PROBLEM, subject, f"{index.name} is missing: {without}", ENSURE)
    elif [tuple(key) for key in found["key"]] == index.keys and found.get("expireAfterSeconds") == index.seconds:
        yield Finding(Level.OK, subject, f"{index.name} is there")
    else:
        text = f"{index.name} is not the index that is needed"
        yield Finding(Level.PROBLEM, subject, text, f"Drop it. {ENSURE}")


def _pending(sessions: Any) -> Finding:
    left = sessions.count_documents({"pending.0": {"$exists": True}})
    if not left:
        return Finding(Level.OK, "shared state", "all of it has been applied")
    text = f"{left:,} sessions hold app: or user: state that other sessions do not see yet"
    remedy = "Nothing needs to be done: it is applied when they are appended to next, or deleted."
    return Finding(Level.NOTE, "shared state", text, remedy)
