"""Reading many documents in portions: a range of ids page by page, or those of given sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from adk_extra_sessions.backends.mongodb.layout import Document, session_id
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
    """Reads all documents of a cursor."""
    # pymongo has it since 4.9, mongomock has it not; for a thousand documents it saves a tenth.
    return list(cursor.to_list() if hasattr(cursor, "to_list") else cursor)


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
        found.update((session["_id"], session) for session in sessions.find(selected, fields))
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
