"""The indexes, in one table, and how they are made.

Results are correct without them, only slower: sessions and state are found by `_id` alone.
"""

from __future__ import annotations

import logging
from typing import Any

from attrs import frozen
from pymongo.errors import ConnectionFailure, OperationFailure

from adk_extra_sessions.backends.mongodb.layout import CHUNKS, SESSIONS, TURNS
from adk_extra_sessions.backends.mongodb.retry import retried

logger = logging.getLogger(__name__)


@frozen
class Index:
    """One index.

    Attributes:
        expires: Whether it is a TTL index. It removes a document at the date
            in it, so it is the same whatever ttl a store has.
    """

    collection: str
    name: str
    keys: list[tuple[str, int]]
    expires: bool = False

    @property
    def seconds(self) -> int | None:
        """The `expireAfterSeconds` that the server must report for it."""
        return 0 if self.expires else None


TABLE = (
    Index(
        CHUNKS,
        "adk_chunks_by_time",
        [
            ("app_name", 1),
            ("user_id", 1),
            ("session_id", 1),
            ("start_revision", 1),
            ("newest", 1),
            ("first", 1),
            ("count", 1),
        ],
    ),
    Index(SESSIONS, "adk_sessions_by_time", [("app_name", 1), ("user_id", 1), ("last_update_time", 1), ("_id", 1)]),
    Index(SESSIONS, "adk_sessions_ttl", [("expires_at", 1)], expires=True),
    Index(CHUNKS, "adk_chunks_ttl", [("expires_at", 1)], expires=True),
    Index(TURNS, "adk_turns_ttl", [("expires_at", 1)], expires=True),
)


@retried
def ensure(database: Any, prefix: str) -> None:
    """Makes the indexes that are not there; changes and drops none.

    What the server refuses (no right, a conflicting index) is logged as a warning.
    """
    for index in TABLE:
        collection = database[prefix + index.collection]
        options = {"expireAfterSeconds": index.seconds} if index.expires else {}
        try:
            collection.create_index(index.keys, name=index.name, **options)
        except ConnectionFailure:
            raise  # not the index's fault: the next operation tries again
        except OperationFailure as error:
            code = getattr(error, "code", None)
            logger.warning("Index %s on %s was not made (code %s).", index.name, collection.full_name, code)
