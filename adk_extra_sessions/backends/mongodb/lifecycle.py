"""Creating and deleting one session."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import bson
from attrs import frozen
from pymongo.errors import DocumentTooLarge, DuplicateKeyError

from adk_extra_sessions.backends.mongodb import bulk, documents, guards, layout, limits
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Remains
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.shared_state import Pending, SharedStates
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.state import SharedState

TRIES = 20
"""How often to try what fails only if another writer is faster, or if something foreign is stored there."""


@frozen
class Lifecycle:
    """Creates and deletes sessions; see `Backend` for what each method promises."""

    sessions: Any
    chunks: ChunkWriter
    shared: SharedStates
    expiry: Expiry

    def create(self, new: NewSession) -> SharedState | None:
        """Stores a new session; see `Backend.create`."""
        # Once, however often the rest is tried: the tickets prove afterwards that an earlier try was successful.
        reserved = retried(self.shared.tickets.reserve)(new.key, {new.nonce: new.state})
        return self._create(new, reserved)

    @retried
    def _create(self, new: NewSession, reserved: list[Document]) -> SharedState | None:
        expiry = self.expiry.of(new.details.lifetime)
        document = documents.new_session(new, expiry.expires_at(), expiry.chunks_expire_at(), reserved)
        pending = self._inserted(new, document)
        if pending is None:
            return None
        self.shared.apply([Pending(new.key, delta) for delta in pending])
        return self.shared.view(self.shared.read(new.key), (), new.key)

    def _inserted(self, new: NewSession, document: Document) -> list[Document] | None:
        """Inserts a session's document; returns its pending deltas, or None when there is such a session."""
        selected = layout.session_filter(new.key)
        for _ in range(TRIES):
            try:
                self.sessions.insert_one(document)
                return list(document["pending"])
            except DocumentTooLarge:
                size = len(bson.encode(document))
                raise EventTooLargeError("The session's document", size, limits.DOCUMENT_BYTES) from None
            except DuplicateKeyError:
                found = self.sessions.find_one(selected, {"nonce": 1, "expires_at": 1, "pending": 1})
                if found and found.get("nonce") == new.nonce:  # ours: it was sent twice
                    if bulk.confirm(self.sessions, {**selected, "nonce": new.nonce}):
                        return list(found["pending"])
                    continue
                if found and not guards.is_expired(found.get("expires_at"), self.expiry):
                    ours = [Pending(new.key, delta) for delta in document["pending"]]
                    # The session that we created may have been deleted meanwhile, and created again by somebody else.
                    return [] if self.shared.is_applied(ours) else None
                self.sessions.delete_one({**selected, **guards.expired_query(self.expiry)})
        raise CorruptRecordError(f"{new.key} cannot be created: another program has a document there.")

    @retried
    def delete(self, key: SessionKey) -> None:
        """Deletes a session; see `Backend.delete`."""
        self._delete(key, layout.session_filter(key))

    @retried
    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        """Deletes a session that is still at a revision; returns whether it was."""
        return self._delete(key, {**layout.session_filter(key), "revision": revision})

    def _delete(self, key: SessionKey, selected: Document) -> bool:
        """Deletes the session that is selected, with its chunks; returns whether there was one."""
        while True:
            session = self.sessions.find_one(selected, Remains.fields())
            if session is None:
                # Another may have deleted it without waiting for the majority long enough.
                if bulk.confirm(self.sessions, selected):
                    continue
                self.chunks.delete_orphans(key)
                return False
            there = Remains.of(session, key)
            # Changes of shared state that the session still holds must not be lost with it.
            failed = self.shared.apply_left(key, there.pending)
            as_found = {**selected, "start_revision": there.start_revision, "pending": failed}
            if self.sessions.delete_one(as_found).deleted_count:
                self.chunks.delete(there.owner)
                return True

    def discard(self, key: SessionKey) -> None:
        """Deletes whatever is in the place of a session; see `Copyable.discard`."""
        with suppress(CorruptRecordError):
            self.delete(key)
        self.sessions.delete_one({"_id": layout.session_id(key)})
        self.chunks.delete_orphans(key)
