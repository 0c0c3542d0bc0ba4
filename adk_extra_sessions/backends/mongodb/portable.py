"""What moving all that is stored needs of MongoDB: walks by `_id`, long histories in pages, shared state apart."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import unquote

from adk_extra_sessions.backends.damaged import DAMAGE, damage_named, left_out_if_damaged
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.backends.mongodb import doctor, documents, strays
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.history import History, chunks_of
from adk_extra_sessions.backends.mongodb.paging import pages
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.backends.mongodb.values import state_of
from adk_extra_sessions.backends.portable import Portable
from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import SessionKey, SessionRecord, StateTexts

logger = logging.getLogger(__name__)

CHUNKS = 4
"""Chunks that one round trip reads; each may fill a document."""

IDS = 5000
"""Ids of sessions that one round trip reads."""

STATES = 500
"""States of users that one round trip reads."""


class PortableOnMongo(Portable):
    """The primitives of whole copies."""

    options: StoreOptions
    collection_prefix: str
    _database: Any
    _sessions: Any
    _states: Any
    _history: History
    _shared: SharedStates

    def _findings(self) -> Iterator[Finding]:
        return doctor.findings(self._database, self.collection_prefix)

    def _strays(self) -> Iterator[Finding]:
        return strays.strays(self._sessions, self._history.chunks)

    def _app_names(self) -> Iterator[str]:
        met: set[str] = set()
        for collection in (self._sessions, self._states):
            # From app to app along the ids: one small query for each.
            beyond = ""
            while found := collection.find_one({"_id": {"$gt": beyond}}, {"_id": 1}, sort=[("_id", 1)]):
                app, slash, _ = found["_id"].partition("/")
                beyond = f"{app}/\x7f" if slash else app
                if app not in met:
                    met.add(app)
                    yield unquote(app)

    def _session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        prefix = documents.app_id(app_name) if user_id is None else documents.user_id(app_name, user_id)
        selected: Document = {"_id": documents.below(prefix), "app_name": app_name}
        for page in pages(self._sessions, selected, IDS, ["_id"]):
            yield from filter(None, map(strays.key_of, page))

    def _app_state(self, app_name: str) -> Mapping[str, Any]:
        document = self._states.find_one(documents.app_filter(app_name)) or {}
        with damage_named(SessionKey(app_name, "", "")):
            return state_of(document.get("state", {}))

    def _user_states(self, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        users = documents.below(documents.app_id(app_name))
        users["$gte"] = users.pop("$gt")  # "" is a user too
        for page in pages(self._states, {"_id": users, "app_name": app_name}, STATES):
            for found in page:
                user = found.get("user_id")
                if not isinstance(user, str):
                    logger.warning(
                        "Left out: document %r in state has no user_id, or one that is no text.", found["_id"]
                    )
                    continue
                if "state" not in found:  # an append that was refused has only taken a ticket
                    continue
                with left_out_if_damaged(SessionKey(app_name, user, "")):
                    yield user, state_of(found["state"])

    def _write_shared(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        self._shared.write(SessionKey(app_name, user_id, ""), texts)

    def _earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        key = record.key
        head = {
            "_id": documents.session_id(key),
            "app_name": key.app_name,
            "user_id": key.user_id,
            "base": record.revision - record.first - len(record.bodies),
        }
        position = 0
        for found in chain.from_iterable(pages(self._history.chunks, chunks_of(head), CHUNKS)):
            try:
                if found["first"] < position:
                    continue  # never cut out of a tail
                events = found["events"][: record.first - position] if found["first"] == position else []
                bodies = self._history.bodies(events, key, position)
            except DAMAGE:
                break
            if not bodies:
                break
            yield bodies
            position += len(bodies)
        if position != record.first:
            if self._sessions.find_one(head, {"_id": 1}) is None:
                raise SessionNotFoundError(f"{describe(key)} was deleted while it was read.")
            raise CorruptRecordError(f"{describe(key)}: the event at position {position}, or its body, is missing.")

    def _set_time(self, key: SessionKey, revision: int, time: float) -> None:
        selected = {**documents.session_filter(key), "revision": revision}
        self._sessions.update_one(selected, {"$set": {"last_update_time": time}})
