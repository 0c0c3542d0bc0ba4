"""The indexes, in one table, and how they are made.

None is needed for a right answer: sessions and state are found by `_id` alone.
"""

from __future__ import annotations

import logging
import math
from datetime import datetime, timezone
from typing import Any

from attrs import frozen
from pymongo.errors import ConnectionFailure, OperationFailure

logger = logging.getLogger(__name__)


@frozen
class Index:
    """One index.

    Attributes:
        ttl_factor: For a TTL index, how many times the store's ttl it waits; chunks
            are renewed less often than their session and must outlive it.
    """

    collection: str
    name: str
    keys: list[tuple[str, int]]
    ttl_factor: int = 0


TABLE = (
    Index(
        "event_chunks",
        "adk_chunks_by_time",
        [("app_name", 1), ("user_id", 1), ("session_id", 1), ("base", 1), ("newest", 1)],
    ),
    Index("sessions", "adk_sessions_ttl", [("active_at", 1)], ttl_factor=1),
    Index("event_chunks", "adk_chunks_ttl", [("active_at", 1)], ttl_factor=2),
)


def ensure(database: Any, prefix: str, ttl_ms: int) -> None:
    """Makes the indexes; changes the TTL indexes in place when `ttl_ms` has changed.

    What the server refuses (no right, a conflicting index) is logged as a warning.

    Args:
        database: A pymongo database.
        prefix: What the names of the collections begin with.
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
    """
    for index in TABLE:
        collection = database[prefix + index.collection]
        try:
            if not index.ttl_factor:
                collection.create_index(index.keys, name=index.name)
            elif ttl_ms:
                _ensure_ttl(database, collection, index, math.ceil(ttl_ms / 1000) * index.ttl_factor)
            elif index.name in collection.index_information():
                logger.warning(
                    "Sessions in %s still expire by index %s of an earlier ttl; drop it to keep them.",
                    collection.full_name,
                    index.name,
                )
        except ConnectionFailure:
            raise  # not the index's fault: the next operation tries again
        except OperationFailure as error:
            code = getattr(error, "code", None)
            logger.warning("Index %s on %s was not made (code %s).", index.name, collection.full_name, code)


def _ensure_ttl(database: Any, collection: Any, index: Index, seconds: int) -> None:
    known = collection.index_information().get(index.name, {}).get("expireAfterSeconds")
    if index.ttl_factor > 1 and (known is None or known > seconds):
        logger.info(
            "Putting off the expiry of all events in %s, since the ttl is new or shorter.", collection.full_name
        )
        # Chunks were renewed for a longer ttl, or never: without this they would go before their session.
        collection.update_many({}, {"$set": {"active_at": datetime.now(timezone.utc).replace(tzinfo=None)}})
    try:
        collection.create_index(index.keys, name=index.name, expireAfterSeconds=seconds)
    except OperationFailure:
        change = {"name": index.name, "expireAfterSeconds": seconds}
        try:
            database.command({"collMod": collection.name, "index": change})
        except (NotImplementedError, OperationFailure):  # mongomock; the role readWrite lacks collMod
            collection.drop_index(index.name)
            collection.create_index(index.keys, name=index.name, expireAfterSeconds=seconds)
        logger.info("The ttl of what %s holds was changed to %d seconds.", collection.full_name, seconds)
