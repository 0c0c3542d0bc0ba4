"""Sessions on MongoDB: the verbs of a `Backend`, one single-document update an append."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import bson
from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReadPreference
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, PyMongoError
from typing_extensions import override

from adk_extra_sessions.backends.base import Copyable, Examinable, TakesTurns, Target
from adk_extra_sessions.backends.damaged import DAMAGE, damage_named, leave_out
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.backends.mongodb import bulk, doctor, documents, indexes, strays
from adk_extra_sessions.backends.mongodb.append import AppendPath
from adk_extra_sessions.backends.mongodb.batched_append import BatchedAppend
from adk_extra_sessions.backends.mongodb.checked_append import CheckedAppend
from adk_extra_sessions.backends.mongodb.client import address_of
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.paging import pages as pages_of_ids
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.scan import Scan
from adk_extra_sessions.backends.mongodb.shared_state import Pending, SharedStates
from adk_extra_sessions.backends.mongodb.turns import MongoTurns
from adk_extra_sessions.backends.mongodb.values import state_of
from adk_extra_sessions.codec import check_format, describe
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    NewSession,
    SessionKey,
    SessionRecord,
    SharedState,
    StateTexts,
    Window,
)

logger = logging.getLogger(__name__)

LISTED = ("format", "user_id", "session_id", "revision", "last_update_time", "state", "pending")
"""What a list needs of a session."""

TRIES = 20
"""Tries of what fails only when another is quicker, or when something foreign is in the way."""


class MongoBackend(TakesTurns, Copyable, Examinable):
    """Sessions in one database of a MongoDB deployment.

    Args:
        client: A `pymongo.MongoClient`.
        db_name: The database.
        server: What error messages call the server.
        owns_client: Whether closing the backend closes the client.
        collection_prefix: What the names of the collections begin with.
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
        self.sessions = database[f"{collection_prefix}sessions"]
        self.chunks = database[f"{collection_prefix}event_chunks"]
        self.states = database[f"{collection_prefix}state"]
        self.target = Target("mongodb", db_name, self.sessions.name)
        self.turns = MongoTurns(database[f"{collection_prefix}turns"])
        self.expiry = Expiry(ttl_ms)
        self.history = History(self.sessions, self.chunks)
        self.shared = SharedStates(self.states, self.sessions)
        parts = (self.sessions, self.history, self.shared, self.expiry)
        self._appending = AppendPath(BatchedAppend(*parts), CheckedAppend(*parts))
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
            self.client.close()

    @override
    @retried
    def create(self, new: NewSession) -> SharedState | None:
        self._ensure_indexes_once()
        reserved = self.shared.tickets.reserve(new.key, {new.nonce: new.state})
        document = documents.new_session(new, self.expiry.expires_at(), self.expiry.chunks_expire_at(), reserved)
        pending = self._inserted(new, document)
        if pending is None:
            return None
        self.shared.apply([Pending(new.key, delta) for delta in pending])
        shared = self.shared.read(new.key)
        with damage_named(new.key):
            return self.shared.view(shared, (), new.key)

    def _inserted(self, new: NewSession, document: Document) -> list[Document] | None:
        """Inserts a session's document; returns its pending deltas, or None when there is such a session."""
        selected = documents.session_filter(new.key)
        for _ in range(TRIES):
            try:
                self.sessions.insert_one(document)
                return list(document["pending"])
            except DocumentTooLarge:
                size = len(bson.encode(document))
                raise EventTooLargeError("The session's document", size, documents.DOCUMENT_BYTES) from None
            except DuplicateKeyError:
                found = self.sessions.find_one(selected, {"nonce": 1, "expires_at": 1, "pending": 1})
                if found and found.get("nonce") == new.nonce:  # ours: it was sent twice
                    if bulk.confirm(self.sessions, {**selected, "nonce": new.nonce}):
                        return list(found["pending"])
                    continue
                if found and not self.expiry.expired(found):
                    return None
                self.sessions.delete_one({**selected, **self.expiry.dead_filter()})
        raise CorruptRecordError(f"{describe(new.key)} cannot be created: a foreign document is in its place.")

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        missing = CorruptRecordError(f"{describe(key)}: events before its newest ones are missing.")
        for _ in range(3):  # a session deleted while it is read is read again, to find it gone
            session = self._session_with_shared_state(key, window)
            if session is None or self.expiry.expired(session):
                return None
            check_format(session.get("format"), key)
            with damage_named(key):
                found = self.history.read(session, key, window)
                try:
                    bodies = self.history.bodies(found.events, key, found.first)
                except CorruptRecordError as error:
                    missing = error
                    continue
                if found.complete:
                    shared = self.shared.view(session["shared"], session["pending"], key)
                    return self._record(session, key, shared, bodies, found.first)
        raise missing

    def _session_with_shared_state(self, key: SessionKey, window: Window) -> Document | None:
        recent = window.recent
        newest = {"$cond": [{"$isArray": "$tail"}, {"$slice": ["$tail", -(recent or 1)]}, "$tail"]}
        tail = "$tail" if recent is None else newest if recent else {"$literal": []}
        lookup = {"from": self.states.name, "localField": "state_ids", "foreignField": "_id", "as": "shared"}
        selected = documents.session_filter(key)
        try:
            found = list(
                self.sessions.aggregate([{"$match": selected}, {"$addFields": {"tail": tail}}, {"$lookup": lookup}])
            )
            return found[0] if found else None
        except OperationFailure as error:
            if error.code not in documents.TOO_LARGE:
                raise
        # Together over 16 MB: one by one.
        session = self.sessions.find_one(selected)
        return {**session, "shared": self.shared.read(key)} if session else None

    def _record(
        self, session: Document, key: SessionKey, shared: SharedState, bodies: Sequence[str] = (), first: int = 0
    ) -> SessionRecord:
        state = state_of(session["state"])
        return SessionRecord(
            key, int(session["revision"]), float(session["last_update_time"]), state, shared, bodies, first
        )

    @override
    def pages(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Sequence[SessionRecord]]:
        prefix = documents.app_id(app_name) if user_id is None else documents.user_id(app_name, user_id)
        selected: Document = {"_id": documents.below(prefix), "app_name": app_name}
        if user_id is not None:
            selected["user_id"] = user_id
        selected.update(self.expiry.alive_filter())
        for page in pages_of_ids(self.sessions, selected, page_size, LISTED):
            yield self._listed(app_name, page)

    def _listed(self, app_name: str, page: Sequence[Document]) -> list[SessionRecord]:
        named = [session for session in page if _names_its_user(session)]
        users = {session["user_id"] for session in named}
        ids = [documents.app_id(app_name), *(documents.user_id(app_name, user) for user in users)]
        found = list(self.states.find({"_id": {"$in": ids}, "app_name": app_name}))
        shared = self.shared.views(app_name, users, found)
        records = []
        for session in named:
            key = SessionKey(app_name, session["user_id"], str(session.get("session_id", session["_id"])))
            try:
                check_format(session.get("format"), key)
                pending = session["pending"]
                if key.user_id in shared:
                    state = self.shared.view(found, pending, key) if pending else shared[key.user_id]
                    records.append(self._record(session, key, state))
            except DAMAGE as error:
                leave_out(key, error)
        return records

    @override
    @retried
    def delete(self, key: SessionKey) -> None:
        selected = documents.session_filter(key)
        while True:
            session = self.sessions.find_one(selected, {"tail": 0, "state": 0})
            if session is None:
                # Another may have deleted it without waiting for the majority long enough.
                if bulk.confirm(self.sessions, selected):
                    continue
                self.history.delete_orphans(key)
                return
            with damage_named(key):
                base, pending = session["base"], session["pending"]
                # What the session still holds for others must not go with it.
                failed = self.shared.apply_left(key, pending)
                left = {"$size": len(failed), **({"$not": {"$elemMatch": {"id": {"$nin": failed}}}} if failed else {})}
                if self.sessions.delete_one({**selected, "base": base, "pending": left}).deleted_count:
                    self.history.delete(session)
                    return

    @override
    def discard(self, key: SessionKey) -> None:
        with suppress(CorruptRecordError):
            self.delete(key)
        self.sessions.delete_one({"_id": documents.session_id(key)})
        self.history.delete_orphans(key)

    @override
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        document = self.states.find_one(documents.user_filter(app_name, user_id)) or {}
        with damage_named(SessionKey(app_name, user_id, "")):
            return state_of(document.get("state", {}))

    @override
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        self._ensure_indexes_once()
        return self._appending.append(requests)

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
        selected = {**documents.session_filter(key), "revision": revision}
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


def _names_its_user(session: Document) -> bool:
    """Whether a document of a list names its user; warns of one that does not."""
    if isinstance(session.get("user_id"), str):
        return True
    logger.warning("Left out of a list: document %r has no user_id, or one that is no text.", session["_id"])
    return False


def _database(client: Any, name: str) -> Any:
    """Returns the database with what this store relies on, whatever the client's own options."""
    if not isinstance(client, MongoClient):
        return client[name]
    options = CodecOptions(document_class=dict, tz_aware=False)
    return client.get_database(name, codec_options=options, read_preference=ReadPreference.PRIMARY)
