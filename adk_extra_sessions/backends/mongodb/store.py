"""Sessions on MongoDB: the primitives of `SessionStore`, one single-document update an append."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

import bson
from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReadPreference
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, PyMongoError

from adk_extra_sessions.backends.damaged import DAMAGE, damage_named, leave_out
from adk_extra_sessions.backends.mongodb import bulk, documents, indexes
from adk_extra_sessions.backends.mongodb.append import AppendPath
from adk_extra_sessions.backends.mongodb.batched_append import BatchedAppend
from adk_extra_sessions.backends.mongodb.checked_append import CheckedAppend
from adk_extra_sessions.backends.mongodb.client import address_of, checked_client, database_name, make_client
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.paging import pages
from adk_extra_sessions.backends.mongodb.portable import PortableOnMongo
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.shared_state import Pending, SharedStates
from adk_extra_sessions.backends.mongodb.turns import MongoTurns
from adk_extra_sessions.backends.mongodb.values import state_of
from adk_extra_sessions.codec import check_format, describe
from adk_extra_sessions.driver_errors import DriverErrors
from adk_extra_sessions.errors import ConfigurationError, CorruptRecordError, EventTooLargeError
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    NewSession,
    SessionKey,
    SessionRecord,
    SharedState,
    Window,
)
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.telemetry import Target, traced
from adk_extra_sessions.urls import exactly_one, joined, take_options

logger = logging.getLogger(__name__)

OPTIONS = ("collection_prefix", "ttl", "on_stale", "unserializable")

LISTED = ("format", "user_id", "session_id", "revision", "last_update_time", "state", "pending")
"""What a list needs of a session."""

TRIES = 20
"""Tries of what fails only when another is quicker, or when something foreign is in the way."""


class MongoSessionStore(PortableOnMongo, SessionStore):
    """A blocking session store on MongoDB, for scripts and notebooks.

    `MongoSessionService` is the same for a `Runner`.

    Args:
        mongo_url: `mongodb://` or `mongodb+srv://` as pymongo takes it, or
            `mongomock://NAME` for an in-process fake. The options below may
            ride in its query string.
        db_name: The database; may be the URL's path instead.
        client: Instead of a URL, a `pymongo.MongoClient`. It is never closed by this store.
        collection_prefix: What the names of the collections begin with.
        ttl: Seconds, a timedelta or a text such as "30d" after its last
            write at which a session expires. None: never.
        on_stale: "raise" or "append", see `StoreOptions`.
        unserializable: "raise" or "coerce", see `StoreOptions`.
        **client_options: Passed to `pymongo.MongoClient`.

    Raises:
        ConfigurationError: A wrong URL or option, or no database name.
    """

    def __init__(
        self,
        mongo_url: str | None = None,
        db_name: str | None = None,
        *,
        client: MongoClient[Any] | None = None,
        collection_prefix: str | None = None,
        ttl: float | timedelta | str | None = None,
        on_stale: Literal["raise", "append"] | None = None,
        unserializable: Literal["raise", "coerce"] | None = None,
        **client_options: Any,
    ) -> None:
        exactly_one(mongo_url=mongo_url, client=client)
        given = dict(collection_prefix=collection_prefix, ttl=ttl, on_stale=on_stale, unserializable=unserializable)
        self._arguments = {"mongo_url": mongo_url, "db_name": db_name, **given, **client_options}
        self._owns_client = client is None
        url, taken = take_options(mongo_url, OPTIONS) if isinstance(mongo_url, str) else (mongo_url, {})
        options = joined(taken, given)
        place = redact(url) if self._owns_client else f"database {db_name!r} of the client given"
        super().__init__(StoreOptions.of(options), DriverErrors(PyMongoError, place))
        self.client: Any = checked_client(client) if client is not None else make_client(str(url), client_options)
        self.db_name: str = db_name or (database_name(url) if isinstance(url, str) else None) or ""
        if not self.db_name:
            raise ConfigurationError(f"No database for {redact(mongo_url)}: give db_name= or a path in the URL.")
        self.collection_prefix: str = options.get("collection_prefix", "")
        database = self._database = _database(self.client, self.db_name)
        self._sessions = database[f"{self.collection_prefix}sessions"]
        self._chunks = database[f"{self.collection_prefix}event_chunks"]
        self._states = database[f"{self.collection_prefix}state"]
        self._target: Target = Target("mongodb", self.db_name, self._sessions.name)
        self._expiry = Expiry(self.options.ttl_ms)
        self._history = History(self._sessions, self._chunks)
        self._shared = SharedStates(self._states, self._sessions)
        self._turns = MongoTurns(database[f"{self.collection_prefix}turns"], lambda: self._operation("turn"))
        parts = (self._sessions, self._history, self._shared, self._expiry)
        self._appending = AppendPath(BatchedAppend(*parts), CheckedAppend(*parts))
        self._indexed = False

    def __repr__(self) -> str:
        place = redact(self._arguments["mongo_url"]) if self._owns_client else "client given"
        return f"{type(self).__name__}({place!r}, db_name={self.db_name!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._owns_client:
            raise TypeError(f"A {type(self).__name__} made from a client cannot be pickled: give it a mongo_url.")
        return _rebuilt, (type(self), self._arguments)

    @traced
    def ensure_indexes(self) -> None:
        """Makes the indexes that are not there.

        Call it at start-up; else the first write does it. Reading makes none.
        Without the right to make indexes a warning is logged and everything
        still works.
        """
        with self._operation("ensure_indexes"):
            indexes.ensure(self._database, self.collection_prefix)
        self._indexed = True

    def server_address(self) -> tuple[str, int | None] | None:
        return address_of(self.client)

    def _ping(self) -> None:
        self.client.admin.command("ping")

    def _close(self) -> None:
        if self._owns_client:
            self.client.close()

    @retried
    def _insert(self, new: NewSession) -> SharedState | None:
        self._ensure_indexes_once()
        reserved = self._shared.tickets.reserve(new.key, {new.nonce: new.state})
        document = documents.new_session(new, self._expiry.expires_at(), self._expiry.chunks_expire_at(), reserved)
        pending = self._inserted(new, document)
        if pending is None:
            return None
        self._shared.apply([Pending(new.key, delta) for delta in pending])
        shared = self._shared.read(new.key)
        with damage_named(new.key):
            return self._shared.view(shared, (), new.key)

    def _inserted(self, new: NewSession, document: Document) -> list[Document] | None:
        """Inserts a session's document; returns its pending deltas, or None when there is such a session."""
        selected = documents.session_filter(new.key)
        for _ in range(TRIES):
            try:
                self._sessions.insert_one(document)
                return list(document["pending"])
            except DocumentTooLarge:
                size = len(bson.encode(document))
                raise EventTooLargeError("The session's document", size, documents.DOCUMENT_BYTES) from None
            except DuplicateKeyError:
                found = self._sessions.find_one(selected, {"nonce": 1, "expires_at": 1, "pending": 1})
                if found and found.get("nonce") == new.nonce:  # ours: it was sent twice
                    if bulk.confirm(self._sessions, {**selected, "nonce": new.nonce}):
                        return list(found["pending"])
                    continue
                if found and not self._expiry.expired(found):
                    return None
                self._sessions.delete_one({**selected, **self._expiry.dead_filter()})
        raise CorruptRecordError(f"{describe(new.key)} cannot be created: a foreign document is in its place.")

    def _read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        missing = CorruptRecordError(f"{describe(key)}: events before its newest ones are missing.")
        for _ in range(3):  # a session deleted while it is read is read again, to find it gone
            session = self._session_with_shared_state(key, window)
            if session is None or self._expiry.expired(session):
                return None
            check_format(session.get("format"), key)
            with damage_named(key):
                found = self._history.read(session, key, window)
                try:
                    bodies = self._history.bodies(found.events, key, found.first)
                except CorruptRecordError as error:
                    missing = error
                    continue
                if found.complete:
                    shared = self._shared.view(session["shared"], session["pending"], key)
                    return self._record(session, key, shared, bodies, found.first)
        raise missing

    def _session_with_shared_state(self, key: SessionKey, window: Window) -> Document | None:
        recent = window.recent
        newest = {"$cond": [{"$isArray": "$tail"}, {"$slice": ["$tail", -(recent or 1)]}, "$tail"]}
        tail = "$tail" if recent is None else newest if recent else {"$literal": []}
        lookup = {"from": self._states.name, "localField": "state_ids", "foreignField": "_id", "as": "shared"}
        selected = documents.session_filter(key)
        try:
            found = list(
                self._sessions.aggregate([{"$match": selected}, {"$addFields": {"tail": tail}}, {"$lookup": lookup}])
            )
            return found[0] if found else None
        except OperationFailure as error:
            if error.code not in documents.TOO_LARGE:
                raise
        # Together over 16 MB: one by one.
        session = self._sessions.find_one(selected)
        return {**session, "shared": self._shared.read(key)} if session else None

    def _record(
        self, session: Document, key: SessionKey, shared: SharedState, bodies: Sequence[str] = (), first: int = 0
    ) -> SessionRecord:
        state = state_of(session["state"])
        return SessionRecord(
            key, int(session["revision"]), float(session["last_update_time"]), state, shared, bodies, first
        )

    def _pages(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Sequence[SessionRecord]]:
        prefix = documents.app_id(app_name) if user_id is None else documents.user_id(app_name, user_id)
        selected: Document = {"_id": documents.below(prefix), "app_name": app_name}
        if user_id is not None:
            selected["user_id"] = user_id
        selected.update(self._expiry.alive_filter())
        for page in pages(self._sessions, selected, page_size, LISTED):
            yield self._listed(app_name, page)

    def _listed(self, app_name: str, page: Sequence[Document]) -> list[SessionRecord]:
        named = [session for session in page if _names_its_user(session)]
        users = {session["user_id"] for session in named}
        ids = [documents.app_id(app_name), *(documents.user_id(app_name, user) for user in users)]
        found = list(self._states.find({"_id": {"$in": ids}, "app_name": app_name}))
        shared = self._shared.views(app_name, users, found)
        records = []
        for session in named:
            key = SessionKey(app_name, session["user_id"], str(session.get("session_id", session["_id"])))
            try:
                check_format(session.get("format"), key)
                pending = session["pending"]
                if key.user_id in shared:
                    state = self._shared.view(found, pending, key) if pending else shared[key.user_id]
                    records.append(self._record(session, key, state))
            except DAMAGE as error:
                leave_out(key, error)
        return records

    @retried
    def _delete(self, key: SessionKey) -> None:
        selected = documents.session_filter(key)
        while True:
            session = self._sessions.find_one(selected, {"tail": 0, "state": 0})
            if session is None:
                # Another may have deleted it without waiting for the majority long enough.
                if bulk.confirm(self._sessions, selected):
                    continue
                self._history.delete_orphans(key)
                return
            with damage_named(key):
                base, pending = session["base"], session["pending"]
                # What the session still holds for others must not go with it.
                failed = self._shared.apply_left(key, pending)
                left = {"$size": len(failed), **({"$not": {"$elemMatch": {"id": {"$nin": failed}}}} if failed else {})}
                if self._sessions.delete_one({**selected, "base": base, "pending": left}).deleted_count:
                    self._history.delete(session)
                    return

    def _discard(self, key: SessionKey) -> None:
        with suppress(CorruptRecordError):
            self._delete(key)
        self._sessions.delete_one({"_id": documents.session_id(key)})
        self._history.delete_orphans(key)

    def _user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        document = self._states.find_one(documents.user_filter(app_name, user_id)) or {}
        with damage_named(SessionKey(app_name, user_id, "")):
            return state_of(document.get("state", {}))

    def _append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        self._ensure_indexes_once()
        return self._appending.append(requests)

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


def _rebuilt(cls: type[MongoSessionStore], arguments: dict[str, Any]) -> MongoSessionStore:
    return cls(**arguments)
