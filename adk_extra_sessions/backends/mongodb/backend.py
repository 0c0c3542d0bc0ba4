"""Sessions on MongoDB: the methods of a `Backend`, one single-document update an append."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReadPreference
from pymongo.errors import PyMongoError
from typing_extensions import override

from adk_extra_sessions.backends.base import Copyable, Erasable, Examinable, Managed, ReadsParts, TakesTurns, Target
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.backends.mongodb import doctor, indexes, layout, strays
from adk_extra_sessions.backends.mongodb.append import AppendPath
from adk_extra_sessions.backends.mongodb.batched_append import BatchedAppend
from adk_extra_sessions.backends.mongodb.changing_details import ChangingDetails
from adk_extra_sessions.backends.mongodb.checked_append import CheckedAppend
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.client import address_of
from adk_extra_sessions.backends.mongodb.erasing import Erasing
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.lifecycle import Lifecycle
from adk_extra_sessions.backends.mongodb.parts import Parts
from adk_extra_sessions.backends.mongodb.reading import Reader
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.scan import Scan
from adk_extra_sessions.backends.mongodb.session_queries import SessionQueries
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.backends.mongodb.state_parsing import state_in
from adk_extra_sessions.backends.mongodb.turns import MongoTurns
from adk_extra_sessions.details import Changes, SessionDetails
from adk_extra_sessions.history.outline import NewOutline, OutlineName, Part
from adk_extra_sessions.queries import RecordPage, SessionQuery
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    Erased,
    NewSession,
    SessionKey,
    SessionRecord,
    Window,
)
from adk_extra_sessions.state import SharedState, StateTexts

CLOSING_SECONDS = 1
"""How long closing a client looks for a server to end its driver sessions there; the server itself ends them later."""


class MongoBackend(TakesTurns, ReadsParts, Managed, Erasable, Copyable, Examinable):
    """Sessions in one database of a MongoDB deployment.

    Args:
        client: A `pymongo.MongoClient`.
        db_name: The database.
        server: The server's name in error messages.
        owns_client: Whether closing the backend closes the client.
        collection_prefix: The prefix of the names of the collections.
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
    """

    driver_error = PyMongoError

    def __init__(
        self, client: Any, db_name: str, server: str, *, owns_client: bool, collection_prefix: str, ttl_ms: int
    ) -> None:
        self.client = client
        self.server = server
        self.owns_client = owns_client
        self.collection_prefix = collection_prefix
        database = self.database = _database(client, db_name)
        self.sessions = database[collection_prefix + layout.SESSIONS]
        self.chunks = database[collection_prefix + layout.CHUNKS]
        self.states = database[collection_prefix + layout.STATE]
        self.target = Target("mongodb", db_name, self.sessions.name)
        self._turns = database[collection_prefix + layout.TURNS]
        self.turns = MongoTurns(self._turns)
        self.expiry = Expiry(ttl_ms)
        self.history = History(self.sessions, self.chunks)
        self.shared = SharedStates(self.states, self.sessions)
        self._chunk_writer = ChunkWriter(self.sessions, self.chunks)
        batched = BatchedAppend(self.sessions, self._chunk_writer, self.shared, self.expiry)
        checked = CheckedAppend(self.sessions, self._chunk_writer, self.history, self.shared, self.expiry)
        self._lifecycle = Lifecycle(self.sessions, self._chunk_writer, self.shared, self.expiry)
        self._append_path = AppendPath(batched, checked)
        self._reader = Reader(self.sessions, self.history, self.shared, self.expiry)
        self._parts = Parts(self.sessions, self.history, self._reader)
        self._queries = SessionQueries(self.sessions, self.shared, self.expiry)
        self._details = ChangingDetails(self.sessions, self._chunk_writer, self.expiry)
        self._scan = Scan(self.sessions, self.states)
        self._indexed = False

    @override
    def server_address(self) -> tuple[str, int | None] | None:
        return address_of(self.client)

    @override
    def ping(self) -> None:
        self.client.admin.command("ping")

    @override
    def close(self) -> None:
        if self.owns_client:
            with pymongo.timeout(CLOSING_SECONDS):
                self.client.close()

    @override
    def create(self, new: NewSession) -> SharedState | None:
        self._ensure_indexes_once()
        return self._lifecycle.create(new)

    @override
    def read_part(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> Part | None:
        return self._parts.read(key, name, recent)

    @override
    def store_outline(self, key: SessionKey, new: NewOutline) -> None:
        self._parts.store_outline(key, new)

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        return self._reader.read(key, window)

    @override
    def list(self, query: SessionQuery) -> RecordPage:
        return self._queries.page(query)

    @override
    def count(self, query: SessionQuery) -> int:
        return self._queries.count(query)

    @override
    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        return self._details.update(key, changes)

    @override
    @retried
    def erase(self, app_name: str, user_id: str | None) -> Erased:
        return Erasing(self.sessions, self.chunks, self.states, self._turns).erase(app_name, user_id)

    @override
    def delete(self, key: SessionKey) -> None:
        self._lifecycle.delete(key)

    @override
    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        return self._lifecycle.delete_unchanged(key, revision)

    @override
    def discard(self, key: SessionKey) -> None:
        self._lifecycle.discard(key)

    @override
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        document = self.states.find_one(layout.user_filter(app_name, user_id))
        return state_in(document, SessionKey(app_name, user_id, ""))

    @override
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        self._ensure_indexes_once()
        return self._append_path.append(requests)

    @override
    def app_names(self) -> Iterator[str]:
        return self._scan.app_names()

    @override
    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        return self._scan.session_keys(app_name, user_id)

    @override
    def app_state(self, app_name: str) -> Mapping[str, Any]:
        return self._scan.app_state(app_name)

    @override
    def user_states(self, app_name: str, user_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return self._scan.user_states(app_name, user_id)

    @override
    def write_shared_state(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        self.shared.write(SessionKey(app_name, user_id, ""), texts)

    @override
    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        return self.history.earlier(record)

    @override
    def set_time(self, key: SessionKey, revision: int, time: float) -> None:
        selected = {**layout.session_filter(key), "revision": revision}
        self.sessions.update_one(selected, {"$set": {"last_update_time": time}})

    @override
    def findings(self) -> Iterator[Finding]:
        return doctor.findings(self.database, self.collection_prefix)

    @override
    def strays(self) -> Iterator[Finding]:
        return strays.strays(self.sessions, self.chunks)

    def ensure_indexes(self) -> None:
        """Makes the indexes that are not there; changes and drops none."""
        indexes.ensure(self.database, self.collection_prefix)
        self._indexed = True

    def _ensure_indexes_once(self) -> None:
        if not self._indexed:
            self.ensure_indexes()


def _database(client: Any, name: str) -> Any:
    """Returns the database with what this store relies on, whatever the client's own options."""
    if not isinstance(client, MongoClient):
        return client[name]
    options = CodecOptions(document_class=dict, tz_aware=False)
    return client.get_database(name, codec_options=options, read_preference=ReadPreference.PRIMARY)
