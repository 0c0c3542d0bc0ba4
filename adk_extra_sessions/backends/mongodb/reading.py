"""Reading a session with its events and the state that it shares."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from pymongo.errors import OperationFailure

from adk_extra_sessions.backends.mongodb import guards, layout, limits
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.backends.mongodb.session_parsing import record_of
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.backends.stored_format import check_format
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey, SessionRecord, Window


@frozen
class Reader:
    """Reads sessions; writes nothing."""

    sessions: Any
    history: History
    shared: SharedStates
    expiry: Expiry

    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        """Reads a session as it is at one moment; see `Backend.read`."""
        missing = CorruptRecordError(f"{key}: events before its newest ones are missing.")
        for _ in range(3):  # a session deleted while it is read is read again, to find it gone
            session = self.with_shared_state(key, window)
            if session is None or guards.is_expired(session.get("expires_at"), self.expiry):
                return None
            check_format(session.get("format"), key)
            head = Head.of(session, key)
            found = self.history.read(head, window)
            try:
                bodies = self.history.bodies(found.events, key, found.first)
            except CorruptRecordError as error:
                missing = error
                continue
            if found.complete:
                shared = self.shared.view(session["shared"], head.pending, key)
                return record_of(session, key, shared, bodies, found.first)
        raise missing

    def with_shared_state(self, key: SessionKey, window: Window) -> Document | None:
        """Reads a session's document, with at least the window's events of its tail, and the state it shares."""
        recent = window.recent
        newest = {"$cond": [{"$isArray": "$tail"}, {"$slice": ["$tail", -(recent or 1)]}, "$tail"]}
        tail = "$tail" if recent is None else newest if recent else {"$literal": []}
        ids = {"$literal": [selected["_id"] for selected in layout.shared_filters(key).values()]}
        lookup = {"from": self.shared.states.name, "localField": "ids", "foreignField": "_id", "as": "shared"}
        stages = [
            {"$match": layout.session_filter(key)},
            {"$addFields": {"tail": tail, "ids": ids}},
            {"$lookup": lookup},
        ]
        try:
            found = list(self.sessions.aggregate(stages))
            return found[0] if found else None
        except OperationFailure as error:
            if error.code not in limits.TOO_LARGE:
                raise
        # Together over 16 MB: one by one.
        session = self.sessions.find_one(layout.session_filter(key))
        return {**session, "shared": self.shared.read(key)} if session else None
