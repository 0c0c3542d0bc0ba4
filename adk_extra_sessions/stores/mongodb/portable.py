"""What moving all that is stored needs of MongoDB: walks by `_id`, long histories in pages, shared state apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import SessionKey, SessionRecord
from adk_extra_sessions.stores.mongodb import documents
from adk_extra_sessions.stores.mongodb.documents import Document
from adk_extra_sessions.stores.mongodb.history import History, chunks_of
from adk_extra_sessions.stores.mongodb.values import state_of

CHUNKS = 4
"""Chunks that one round trip reads; each may fill a document."""

STATES = 500
"""States of users that one round trip reads."""


def app_names(sessions: Any, states: Any) -> Iterator[str]:
    """Skips from app to app along the ids: one small query for each."""
    met: set[str] = set()
    for collection in (sessions, states):
        beyond = ""
        while found := collection.find_one({"_id": {"$gt": beyond}}, {"app_name": 1}, sort=[("_id", 1)]):
            name = found.get("app_name")
            beyond = found["_id"]
            if isinstance(name, str):
                if beyond != documents.app_id(name):
                    beyond = f"{documents.app_id(name)}/\x7f"  # after all that begins with the app's name
                if name not in met:
                    met.add(name)
                    yield name


def user_states(states: Any, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walks over the states of an app's users."""
    selected: Document = {"_id": documents.below(documents.app_id(app_name)), "app_name": app_name}
    for found in _paged(states, selected, STATES):
        yield found["user_id"], state_of(found.get("state", {}))


def app_state(states: Any, app_name: str) -> Mapping[str, Any]:
    """Reads an app's state."""
    return state_of((states.find_one(documents.app_filter(app_name)) or {}).get("state", {}))


def earlier(history: History, record: SessionRecord) -> Iterator[Sequence[str]]:
    """Reads the events before a record's, which are all in chunks: what is read at once covers a tail."""
    key = record.key
    head = {
        "_id": documents.session_id(key),
        "app_name": key.app_name,
        "user_id": key.user_id,
        "base": record.revision - record.first - len(record.bodies),
    }
    position = 0
    for found in _paged(history.chunks, chunks_of(head), CHUNKS):
        events = found["events"][: record.first - position]
        if found["first"] != position or not events:
            break
        yield history.bodies(events, key, position)
        position += len(events)
    if position != record.first:
        raise SessionNotFoundError(f"{describe(key)} was deleted while it was read.")


def set_time(sessions: Any, key: SessionKey, revision: int, seconds: float) -> None:
    """Sets a session's last_update_time, if it is still at this revision."""
    selected = {**documents.session_filter(key), "revision": revision}
    sessions.update_one(selected, {"$set": {"last_update_time": seconds}})


def _paged(collection: Any, selected: Document, size: int) -> Iterator[Document]:
    """Reads along the ids page by page, so that the driver's timeout is for a page and not for the walk."""
    while True:
        page = list(collection.find(selected, batch_size=size + 1).sort("_id", 1).limit(size))
        yield from page
        if len(page) < size:
            return
        selected = {**selected, "_id": {**selected["_id"], "$gt": page[-1]["_id"]}}
