"""Changing a session's name, labels and lifetime."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from pymongo import ReturnDocument

from adk_extra_sessions.backends.mongodb import documents, guards, layout
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.backends.mongodb.session_parsing import FIELDS, details_of
from adk_extra_sessions.backends.stored_format import FORMAT, check_format
from adk_extra_sessions.details import UNSET, Changes, Lifetime, SessionDetails
from adk_extra_sessions.records import SessionKey


@frozen
class ChangingDetails:
    """Changes sessions' names, labels and lifetimes."""

    sessions: Any
    chunks: ChunkWriter
    expiry: Expiry

    @retried
    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        """Changes a session; see `Managed.update`."""
        if changes.lifetime is UNSET:
            return self._changed(key, {**layout.session_filter(key), "format": FORMAT}, _update(changes, {}))
        while True:
            document = self.sessions.find_one(layout.session_filter(key), documents.WITHOUT_STATE)
            if document is None or guards.is_expired(document.get("expires_at"), self.expiry):
                return None
            check_format(document.get("format"), key)
            details = self._with_lifetime(Head.of(document, key), changes, changes.lifetime)
            if details is not None:
                return details

    def _with_lifetime(self, head: Head, changes: Changes, lifetime: Lifetime) -> SessionDetails | None:
        """Changes a session that is still as it was read; its chunks get their dates as in a checked append."""
        expiry = self.expiry.of(lifetime)
        dates: Document = {"expires_at": expiry.expires_at()}
        renewed = not guards.chunk_expiry_fits(head, expiry)
        if renewed:
            dates["chunks_expire_at"] = expiry.chunks_expire_at()
            self.chunks.keep(head, dates["chunks_expire_at"])
        details = self._changed(head.key, head.as_read(), _update(changes, dates))
        if renewed:
            self.chunks.settle(head)
        return details

    def _changed(self, key: SessionKey, selected: Document, update: Document) -> SessionDetails | None:
        query = {**guards.alive_query(self.expiry), **selected}
        found = self.sessions.find_one_and_update(query, update, list(FIELDS), return_document=ReturnDocument.AFTER)
        if found is not None:
            return details_of(found, key)
        there = self.sessions.find_one(layout.session_filter(key), {"format": 1})
        if there is not None:
            check_format(there.get("format"), key)
        return None


def _update(changes: Changes, dates: Document) -> Document:
    fields = {**documents.details_fields(changes), **dates}
    changed = {name: value for name, value in fields.items() if value is not None}
    removed = {name: "" for name, value in fields.items() if value is None}
    update = {**({"$set": changed} if changed else {}), **({"$unset": removed} if removed else {})}
    return update or {"$unset": {"never_set": ""}}
