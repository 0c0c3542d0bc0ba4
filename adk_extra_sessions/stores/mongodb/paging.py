"""Walking along the ids of a collection, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from adk_extra_sessions.stores.mongodb.documents import Document


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
        # pymongo has it since 4.9, mongomock has it not; for a thousand documents it saves a tenth.
        page = list(cursor.to_list() if hasattr(cursor, "to_list") else cursor)
        if page:
            yield page
        if len(page) < size:
            return
        selected = {**selected, "_id": {**selected["_id"], "$gt": page[-1]["_id"]}}
