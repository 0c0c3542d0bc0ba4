"""Checks a MongoDB server and its collections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from adk_extra_sessions.backends.findings import Finding, Level
from adk_extra_sessions.backends.mongodb.indexes import TABLE, Index
from adk_extra_sessions.backends.mongodb.layout import CHUNKS, SESSIONS, STATE

ENSURE = "Call the store's ensure_indexes() as a user who may create indexes."

UNKNOWN = "No action needed: this user may not read it, or the client's ServerApi is strict."


def findings(database: Any, prefix: str) -> Iterator[Finding]:
    """Checks version, durability, indexes, expiry, sizes, and for changes of shared state that are not applied yet."""
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
    except OperationFailure as error:  # not in the Stable API, which a client may be limited to
        return Finding(Level.NOTE, "version", f"unknown ({type(error).__name__})", UNKNOWN)


def _write_concern(database: Any) -> Finding:
    concern = database.write_concern
    if concern.document.get("w") == "majority" or concern.document.get("j"):
        return Finding(Level.OK, "durability", "writes wait for the journal")
    text = "writes do not wait for the journal: a failover or crash may lose the last ones"
    return Finding(Level.NOTE, "durability", text, "Leave w out of the URL, or set w=majority.")


def _size(database: Any, name: str) -> Finding:
    try:
        stats = database.command("collStats", name)
    except OperationFailure as error:
        return Finding(Level.NOTE, "size", f"{name}: unknown ({type(error).__name__})", UNKNOWN)
    sizes = (
        f"{stats.get('size', 0) / 2**20:,.1f} MiB of data, {stats.get('totalIndexSize', 0) / 2**20:,.1f} MiB of indexes"
    )
    return Finding(Level.OK, "size", f"{name}: {stats.get('count', 0):,} documents, {sizes}")


def _index(collection: Any, index: Index) -> Iterator[Finding]:
    known = collection.index_information()
    found = known.get(index.name)
    subject = "expiry" if index.expires else "indexes"
    if not known:
        yield Finding(Level.OK, subject, f"{index.name}: nothing is stored yet; the first write creates it")
    elif found is None:
        without = "expired sessions are not removed from the server" if index.expires else "reading by time is slow"
        yield Finding(Level.PROBLEM, subject, f"{index.name} is missing: {without}", ENSURE)
    elif [tuple(key) for key in found["key"]] == index.keys and found.get("expireAfterSeconds") == index.seconds:
        yield Finding(Level.OK, subject, f"{index.name} exists")
    else:
        text = f"{index.name} exists, but with other keys or another expiry than needed"
        yield Finding(Level.PROBLEM, subject, text, f"Drop it. {ENSURE}")


def _pending(sessions: Any) -> Finding:
    left = sessions.count_documents({"pending.0": {"$exists": True}})
    if not left:
        return Finding(Level.OK, "shared state", "all changes have been applied")
    text = f"{left:,} sessions have changes of app: or user: state that other sessions do not see yet"
    remedy = "No action needed: the next append to these sessions applies them, or their deletion."
    return Finding(Level.NOTE, "shared state", text, remedy)
