"""Reading many documents: page by page, those of given sessions, or all of a query, also if a connection breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pymongo.errors import CursorNotFound, PyMongoError

from adk_extra_sessions.backends.mongodb.layout import Document, session_id
from adk_extra_sessions.backends.mongodb.retry import TRIES, is_broken
from adk_extra_sessions.records import SessionKey

T = TypeVar("T")

IDS = 500
"""Sessions that one query names."""

ID_BYTES = 1 << 20
"""Bytes of their ids, about."""


def pages(
    collection: Any, selected: Document, size: int, fields: Sequence[str] | None = None
) -> Iterator[list[Document]]:
    """Yields the documents of a range of ids, in their order; the driver's timeout is for a page, not for the walk.

    Args:
        collection: Where they are.
        selected: Their filter; its `_id` is a range.
        size: Documents in a page at most.
        fields: What is needed of each, beside its `_id`; None for all.
    """
    while True:
        cursor = collection.find(selected, fields, batch_size=size + 1).sort("_id", 1).limit(size)
        page = documents_of(cursor)
        if page:
            yield page
        if len(page) < size:
            return
        selected = {**selected, "_id": {**selected["_id"], "$gt": page[-1]["_id"]}}


def documents_of(cursor: Any) -> list[Document]:
    """Reads all documents of a cursor; begins anew if the connection breaks after the first batch of them.

    The driver itself repeats only the message that asks for the first batch.
    """
    for _ in range(TRIES - 1):
        try:
            return _all_of(cursor)
        except PyMongoError as error:
            if not (_is_lost(error) and cursor.retrieved):
                raise
        cursor.rewind()
    return _all_of(cursor)


def newest_first(collection: Any, selected: Document) -> Iterator[Document]:
    """Yields documents, those with the greatest ids first; goes on if the connection breaks after the first batch.

    Args:
        collection: Where they are.
        selected: Their filter; its `_id` is a range.
    """
    while True:
        last = None
        try:
            for document in collection.find(selected).sort("_id", -1):
                last = document["_id"]
                yield document
            return
        except PyMongoError as error:
            if last is None or not _is_lost(error):
                raise
        selected = {**selected, "_id": {**selected["_id"], "$lt": last}}


def _all_of(cursor: Any) -> list[Document]:
    # pymongo has it since 4.9, mongomock has it not; for a thousand documents it saves a tenth.
    return list(cursor.to_list() if hasattr(cursor, "to_list") else cursor)


def _is_lost(error: PyMongoError) -> bool:
    """Whether a cursor is gone with its server, which may have been started again."""
    return is_broken(error) or isinstance(error, CursorNotFound)


def of_sessions(sessions: Any, keys: Sequence[SessionKey], fields: Document) -> dict[str, Document]:
    """Reads the documents of sessions, by id.

    Args:
        sessions: Their collection.
        keys: Whose documents.
        fields: A projection.
    """
    found: dict[str, Document] = {}
    for part in portions(keys, IDS, ID_BYTES, lambda key: len(session_id(key))):
        selected = {
            "_id": {"$in": [session_id(key) for key in part]},
            "app_name": {"$in": list({key.app_name for key in part})},
            "user_id": {"$in": list({key.user_id for key in part})},
        }
        found.update((session["_id"], session) for session in documents_of(sessions.find(selected, fields)))
    return found


def portions(items: Sequence[T], most: int, limit: int, size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Cuts `items` into portions of `most` at most, whose sizes add up to the limit at most, save for one alone."""
    start = total = 0
    for index, item in enumerate(items):
        if index > start and (index - start == most or total + size(item) > limit):
            yield items[start:index]
            start, total = index, 0
        total += size(item)
    if items:
        yield items[start:]
