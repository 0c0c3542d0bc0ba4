"""Finds documents that do not belong to any session, or not to this package, for example after a manual delete."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any
from urllib.parse import unquote

from adk_extra_sessions.backends.findings import Finding, Level, rm_command
from adk_extra_sessions.backends.mongodb.expiry import NEVER
from adk_extra_sessions.backends.mongodb.layout import Document, encoded
from adk_extra_sessions.backends.mongodb.paging import pages
from adk_extra_sessions.records import SessionKey

AT_ONCE = 1000
"""How many documents one round trip reads."""

ALL_TEXTS: Document = {"$gte": ""}
"""The range of all ids that are strings."""


def key_of(found: Document) -> SessionKey | None:
    """Returns the session that a document's `_id` refers to; None if it does not refer to one."""
    parts = found["_id"].split("/") if isinstance(found["_id"], str) else []
    key = SessionKey(*map(unquote, parts)) if len(parts) == 3 else None
    return key if key and [encoded(name) for name in _names(key)] == parts else None


def strays(sessions: Any, chunks: Any) -> Iterator[Finding]:
    """Checks the names in every document.

    Args:
        sessions: The collection of sessions.
        chunks: The collection of their chunks and large bodies.
    """
    for collection in (sessions, chunks):
        for found in collection.find({"_id": {"$not": ALL_TEXTS}}, ["_id"]):
            yield _foreign(collection, found)
    for page in pages(sessions, {"_id": ALL_TEXTS}, AT_ONCE, ["app_name", "user_id"]):
        for found in page:
            key = key_of(found)
            if key is None:
                yield _foreign(sessions, found)
            elif (found.get("app_name"), found.get("user_id")) != (key.app_name, key.user_id):
                text = f"{key} cannot be found: app_name and user_id of its document do not match its _id"
                yield Finding(Level.PROBLEM, "records", text, f"Correct them, or delete the session: {rm_command(key)}")
    for page in pages(chunks, {"_id": ALL_TEXTS}, AT_ONCE, ["start_revision", "expires_at"]):
        yield from _orphans(sessions, chunks, page)


def _orphans(sessions: Any, chunks: Any, page: list[Document]) -> Iterator[Finding]:
    left = _without_session(sessions, page)
    # Check again: a session may have been created or deleted between the two queries.
    there = {found["_id"] for found in chunks.find({"_id": {"$in": [found["_id"] for found in left]}}, ["_id"])}
    left = _without_session(sessions, [found for found in left if found["_id"] in there])
    for owner, group in groupby(left, _owner):
        orphans = list(group)
        key = key_of({"_id": owner})
        if key is None:
            yield from (_foreign(chunks, found) for found in orphans)
        elif any(found.get("expires_at") in (None, NEVER) for found in orphans):
            text = f"{key} does not exist, but {len(orphans):,} documents with its events do"
            remedy = f"Restore it from a backup, or delete what is left of it: {rm_command(key)}"
            yield Finding(Level.PROBLEM, "records", text, remedy)


def _without_session(sessions: Any, chunks: list[Document]) -> list[Document]:
    """Returns the documents whose session is not there, or is another one of the same names."""
    owners = list({_owner(one) for one in chunks})
    found = sessions.find({"_id": {"$in": owners}}, ["start_revision"])
    there = {(one["_id"], one.get("start_revision")) for one in found} - {(owner, None) for owner in owners}
    return [one for one in chunks if (_owner(one), one.get("start_revision")) not in there]


def _owner(found: Document) -> str:
    return str(found["_id"]).partition("#")[0]


def _foreign(collection: Any, found: Document) -> Finding:
    text = f"The document with _id {found['_id']!r} in {collection.name} does not belong to adk-extra-sessions"
    remedy = f"Delete it in mongosh: db.getCollection({collection.name!r}).deleteOne({{_id: ...}})"
    return Finding(Level.PROBLEM, "records", text, remedy)


def _names(key: SessionKey) -> tuple[str, str, str]:
    return key.app_name, key.user_id, key.session_id
