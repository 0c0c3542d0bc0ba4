"""Many single-document updates in one command, where the server is a real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from pymongo import MongoClient, UpdateOne


@frozen
class Update:
    """One document's update."""

    filter: dict[str, Any]
    update: dict[str, Any]
    upsert: bool = False


def send(collection: Any, updates: Sequence[Update], *, ordered: bool = False) -> int:
    """Sends updates and returns how many of them matched a document or made one.

    Raises:
        pymongo.errors.PyMongoError: One failed; others may have been done.
    """
    if len(updates) > 1 and isinstance(collection.database.client, MongoClient):
        result = collection.bulk_write(
            [UpdateOne(one.filter, one.update, upsert=one.upsert) for one in updates], ordered=ordered
        )
        return int(result.matched_count + result.upserted_count)
    done = 0  # mongomock 4.3 cannot take the UpdateOne of current drivers
    for one in updates:
        result = collection.update_one(one.filter, one.update, upsert=one.upsert)
        done += result.matched_count or (result.upserted_id is not None)
    return done
