"""Single-document updates: many in one command, and some that need not wait for the majority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen
from pymongo import MongoClient, UpdateOne, WriteConcern


@frozen
class Update:
    """One document's update."""

    filter: dict[str, Any]
    update: dict[str, Any] = field(repr=False)
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


def unawaited(collection: Any) -> Any:
    """Returns the collection for writes whose durability another write vouches for.

    A replica set has one log: when a later write has reached the majority, or
    the journal, so have all before it, unless the primary has changed between.
    On a sharded cluster two documents may be on different shards, each with a
    log of its own; there every write waits.
    """
    client = collection.database.client
    if isinstance(client, MongoClient) and client.topology_description.topology_type_name in _ONE_LOG:
        return collection.with_options(write_concern=WriteConcern(w=1))
    return collection


_ONE_LOG = ("Single", "ReplicaSetWithPrimary")
