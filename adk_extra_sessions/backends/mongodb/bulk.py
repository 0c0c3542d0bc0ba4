"""Single-document updates: many in one command, and some without waiting for the outcome.

They are sent as the `update` command itself, not through the driver's retryable
writes: everything sent here recognises its own repetition, and the record that
the server keeps of a retryable write costs it as much as a sixth of an append.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from attrs import field, frozen
from pymongo import MongoClient, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    DuplicateKeyError,
    NotPrimaryError,
    PyMongoError,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)

from adk_extra_sessions.backends.mongodb.paging import portions
from adk_extra_sessions.backends.mongodb.retry import IN_DOUBT

PART_BYTES = 1 << 20
"""Bytes of JSON and names in one command at most: as BSON it may have ten times as many."""

STATEMENTS = 10_000
"""Updates in one command at most; servers take 100,000."""

_DUPLICATE_KEY = 11000


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


def send(collection: Any, updates: Sequence[Update]) -> int:
    """Sends updates, waits until they have reached the majority, and returns how many matched or made a document.

    Args:
        collection: Where to.
        updates: What to send.

    Raises:
        pymongo.errors.PyMongoError: One failed; others may have been done.
    """
    if not isinstance(collection.database.client, MongoClient):
        return sum(_done_by_fake(collection, one) for one in updates)
    matched = 0
    for _, reply in _replies(collection, updates):
        _check(reply)
        matched += int(reply["n"])
    return matched


def refused(collection: Any, updates: Sequence[Update]) -> set[int]:
    """Sends updates as `send` does; returns the places of those that the server refused, instead of raising.

    Raises:
        pymongo.errors.PyMongoError: It is not known which were done.
    """
    if not isinstance(collection.database.client, MongoClient):
        return {at for at, one in enumerate(updates) if _is_refused_by_fake(collection, one)}
    found: set[int] = set()
    for begin, reply in _replies(collection, updates):
        errors = reply.get("writeErrors") or ()
        _check(reply | {"writeErrors": [error for error in errors if error.get("code") in IN_DOUBT]})
        found.update(begin + error["index"] for error in errors)
    return found


def confirm(collection: Any, selected: dict[str, Any]) -> bool:
    """Waits until the majority has all that the primary has; returns whether a document matches there.

    What a read finds, or does not find, may still be taken back by a change of
    primary. A write that changes nothing waits for all that came before it, so
    what its filter finds, or does not find, is so for good.

    Raises:
        pymongo.errors.PyMongoError: The majority was not reached.
    """
    return are_confirmed(collection, [selected])


def are_confirmed(collection: Any, selected: Iterable[dict[str, Any]]) -> bool:
    """Whether each filter matches a document; see `confirm`."""
    updates = [Update(one, {"$unset": {"never_set": ""}}) for one in selected]
    return send(collection, updates) == len(updates)


def send_and_forget(collection: Any, updates: Sequence[Update]) -> None:
    """Sends updates without waiting for an answer or an error."""
    if not isinstance(collection.database.client, MongoClient):
        send(collection, updates)
        return
    unanswered = collection.with_options(write_concern=WriteConcern(w=0))
    with suppress(PyMongoError):
        if len(updates) == 1:
            unanswered.update_one(updates[0].filter, updates[0].update)
        else:
            unanswered.bulk_write([UpdateOne(one.filter, one.update) for one in updates], ordered=False)


def without_majority(collection: Any) -> Any:
    """Returns a collection whose writes wait for the primary alone, where a later write proves them.

    A replica set has one log: when a later write to it has reached the majority, so have all before it. On a
    sharded cluster each shard has its own; there every write waits for the majority.
    """
    client = collection.database.client
    if not isinstance(client, MongoClient) or not _has_one_log(client):
        return collection
    return collection.with_options(write_concern=WriteConcern(w=1))


def _has_one_log(client: MongoClient[Any]) -> bool:
    topology = client.topology_description
    if topology.topology_type_name == "Single":  # a client bound to one server: that may be a sharded cluster's mongos
        return all(server.server_type_name != "Mongos" for server in topology.server_descriptions().values())
    return topology.topology_type_name == "ReplicaSetWithPrimary"


def insert(collection: Any, documents: Sequence[dict[str, Any]]) -> bool:
    """Inserts the documents that do not exist yet; returns whether none existed.

    Raises:
        pymongo.errors.PyMongoError: One failed for another reason, or they did not reach the majority.
    """
    try:
        collection.insert_many(documents, ordered=False)
        return True
    except BulkWriteError as error:
        # Its message shows the documents, so it must not be the context of ours.
        details = error.details
    failed = [error for error in details["writeErrors"] if error["code"] != _DUPLICATE_KEY]
    waited = details.get("writeConcernErrors", ())
    _check({"writeErrors": failed, "writeConcernError": next(iter(waited), None)})
    return False


def _check(reply: dict[str, Any]) -> None:
    """Raises the error that the driver's own methods would raise for a reply.

    If the majority was not reached, that is raised rather than a refused update: after that a
    caller reads what was stored, which only the majority can tell.
    """
    refused, unreached = reply.get("writeErrors") or (), reply.get("writeConcernError")
    for error in filter(None, (unreached, *refused)):
        if error.get("code") in IN_DOUBT:
            raise NotPrimaryError(error.get("errmsg", ""), {"code": error["code"]})
    if unreached:
        timed_out = unreached.get("code") == 50 or unreached.get("errInfo", {}).get("wtimeout")
        kind = WTimeoutError if timed_out else WriteConcernError
        raise kind(unreached.get("errmsg", ""), unreached.get("code"), unreached)
    for error in refused:
        of_error = DuplicateKeyError if error["code"] == _DUPLICATE_KEY else WriteError
        raise of_error(error.get("errmsg", ""), error["code"], {"index": error["index"]})


def _replies(collection: Any, updates: Sequence[Update]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Sends updates in as few commands as their number and size allow; yields each one's first place and its reply."""
    concern = collection.write_concern.document
    begin = 0
    for part in portions(updates, STATEMENTS, PART_BYTES, lambda one: one.size):
        statements = [{"q": one.filter, "u": one.update, **({"upsert": True} if one.upsert else {})} for one in part]
        command = {"update": collection.name, "updates": statements, "ordered": False}
        yield begin, collection.database.command(command | ({"writeConcern": concern} if concern else {}))
        begin += len(part)


def _is_refused_by_fake(collection: Any, one: Update) -> bool:
    try:
        _done_by_fake(collection, one)
        return False
    except WriteError:
        return True


def _done_by_fake(collection: Any, one: Update) -> int:
    result = collection.update_one(one.filter, one.update, upsert=one.upsert)
    return int(result.matched_count) or int(result.upserted_id is not None)
