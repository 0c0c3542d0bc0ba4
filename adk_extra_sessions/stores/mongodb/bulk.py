"""Single-document updates: many in one command, and some that need not wait for the majority.

They are sent as the `update` command itself, not through the driver's retryable
writes: everything sent here recognises its own repetition, and the record that
the server keeps of a retryable write costs it as much as a sixth of an append.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field, frozen
from pymongo import MongoClient, UpdateOne, WriteConcern
from pymongo.errors import (
    DuplicateKeyError,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)

PART_BYTES = 1 << 20
"""Bytes of JSON in one command at most: as BSON, and beside its filter, one may take ten times as much."""

_KINDS: dict[object, type[OperationFailure]] = {11000: DuplicateKeyError, 64: WTimeoutError}
_PRIMARY_IS_LEAVING = (91, 189, 11600, 11602, 10058, 10107, 13435, 13436)
"""Codes of the server's for a write that it took and then, shutting down or stepping down, cannot vouch for."""

_ONE_LOG = ("Single", "ReplicaSetWithPrimary")


@frozen
class Update:
    """One document's update.

    Attributes:
        size: About how many bytes it has, of JSON.
    """

    filter: dict[str, Any]
    update: dict[str, Any] = field(repr=False)
    upsert: bool = False
    size: int = 1000


@frozen
class Sent:
    """What became of updates.

    Attributes:
        matched: How many of them matched a document or made one.
        term: The primary's term of office in which all were written; None where the server does not tell.
    """

    matched: int
    term: object = None


def send(collection: Any, updates: Sequence[Update], *, ordered: bool = False, awaited: bool = True) -> Sent:
    """Sends updates.

    Args:
        collection: Where to.
        updates: At least one.
        ordered: Whether the first that fails keeps the later ones from being tried.
        awaited: Whether to wait for the majority. What need not is what another
            write vouches for: a replica set has one log, so when a later write
            of the same term has reached the majority, all before it have. On a
            sharded cluster each shard has its own; there every write waits.

    Raises:
        pymongo.errors.PyMongoError: One failed; others may have been done.
    """
    client = collection.database.client
    if not isinstance(client, MongoClient):
        return Sent(sum(_done_by_fake(collection, one) for one in updates))
    concern = collection.write_concern.document
    if not awaited and client.topology_description.topology_type_name in _ONE_LOG:
        concern = {"w": 1}
    matched, terms = 0, set()
    for part in _parts(updates):
        statements = [{"q": one.filter, "u": one.update, **({"upsert": True} if one.upsert else {})} for one in part]
        command = {"update": collection.name, "updates": statements, "ordered": ordered}
        reply = collection.database.command(command | ({"writeConcern": concern} if concern else {}))
        _check(reply)
        matched += reply["n"]
        terms.add(reply.get("electionId"))
    return Sent(matched, terms.pop() if len(terms) == 1 else None)


def send_and_forget(collection: Any, updates: Sequence[Update]) -> None:
    """Sends updates whose outcome nobody wants to know, without waiting for an answer."""
    unanswered = collection.with_options(write_concern=WriteConcern(w=0))
    if len(updates) == 1:
        unanswered.update_one(updates[0].filter, updates[0].update)
    else:
        unanswered.bulk_write([UpdateOne(one.filter, one.update) for one in updates], ordered=False)


def _parts(updates: Sequence[Update]) -> Iterator[Sequence[Update]]:
    """Cuts updates into what one command takes."""
    start = size = 0
    for index, one in enumerate(updates):
        if index > start and size + one.size > PART_BYTES:
            yield updates[start:index]
            start, size = index, 0
        size += one.size
    yield updates[start:]


def _check(reply: dict[str, Any]) -> None:
    """Raises what the driver's own methods would raise of a reply."""
    errors = [*reply.get("writeErrors", ()), *filter(None, [reply.get("writeConcernError")])]
    for error in errors:
        if error.get("code") in _PRIMARY_IS_LEAVING:
            raise NotPrimaryError(error.get("errmsg", ""), reply)
    for error in errors:
        kind: type[OperationFailure] = WriteError if "index" in error else WriteConcernError
        raise _KINDS.get(error.get("code"), kind)(error.get("errmsg", ""), error.get("code"), error)


def _done_by_fake(collection: Any, one: Update) -> int:
    result = collection.update_one(one.filter, one.update, upsert=one.upsert)
    return int(result.matched_count) or int(result.upserted_id is not None)
