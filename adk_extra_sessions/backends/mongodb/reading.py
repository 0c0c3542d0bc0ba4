"""Reading sessions with the state they share: one with its events, or all of an app or user without."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen
from pymongo.errors import OperationFailure

from adk_extra_sessions.backends.damaged import leave_out
from adk_extra_sessions.backends.mongodb import guards, layout, limits
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.history import History
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.paging import pages as pages_of_ids
from adk_extra_sessions.backends.mongodb.parsing import Head, Listed, state_in
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.codec import check_format, describe
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey, SessionRecord, SharedState, Window

logger = logging.getLogger(__name__)

LISTED = ("format", "user_id", "session_id", "state", *Listed.fields())
"""What a list needs of a session."""


@frozen
class Reader:
    """Reads sessions; writes nothing."""

    sessions: Any
    history: History
    shared: SharedStates
    expiry: Expiry

    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        """Reads a session as it is at one moment; see `Backend.read`."""
        missing = CorruptRecordError(f"{describe(key)}: events before its newest ones are missing.")
        for _ in range(3):  # a session deleted while it is read is read again, to find it gone
            session = self._with_shared_state(key, window)
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
                return _record(session, head, shared, bodies, found.first)
        raise missing

    def _with_shared_state(self, key: SessionKey, window: Window) -> Document | None:
        recent = window.recent
        newest = {"$cond": [{"$isArray": "$tail"}, {"$slice": ["$tail", -(recent or 1)]}, "$tail"]}
        tail = "$tail" if recent is None else newest if recent else {"$literal": []}
        lookup = {"from": self.shared.states.name, "localField": "state_ids", "foreignField": "_id", "as": "shared"}
        stages = [{"$match": layout.session_filter(key)}, {"$addFields": {"tail": tail}}, {"$lookup": lookup}]
        try:
            found = list(self.sessions.aggregate(stages))
            return found[0] if found else None
        except OperationFailure as error:
            if error.code not in limits.TOO_LARGE:
                raise
        # Together over 16 MB: one by one.
        session = self.sessions.find_one(layout.session_filter(key))
        return {**session, "shared": self.shared.read(key)} if session else None

    def pages(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Sequence[SessionRecord]]:
        """Reads the sessions of a user, or with None of all users, without events, page by page."""
        prefix = layout.app_id(app_name) if user_id is None else layout.user_id(app_name, user_id)
        selected: Document = {"_id": layout.below(prefix), "app_name": app_name}
        if user_id is not None:
            selected["user_id"] = user_id
        selected.update(guards.alive_query(self.expiry))
        for page in pages_of_ids(self.sessions, selected, page_size, LISTED):
            yield self._listed(app_name, page)

    def _listed(self, app_name: str, page: Sequence[Document]) -> list[SessionRecord]:
        named = [session for session in page if _names_its_user(session)]
        users = {session["user_id"] for session in named}
        ids = [layout.app_id(app_name), *(layout.user_id(app_name, user) for user in users)]
        found = list(self.shared.states.find({"_id": {"$in": ids}, "app_name": app_name}))
        shared = self.shared.views(app_name, users, found)
        records = []
        for session in named:
            key = SessionKey(app_name, session["user_id"], str(session.get("session_id", session["_id"])))
            try:
                check_format(session.get("format"), key)
                one = Listed.of(session, key)
                if key.user_id in shared:
                    state = self.shared.view(found, one.pending, key) if one.pending else shared[key.user_id]
                    records.append(_record(session, one, state))
            except CorruptRecordError as error:
                leave_out(key, error)
        return records


def _record(
    session: Document, parsed: Listed | Head, shared: SharedState, bodies: Sequence[bytes | str] = (), first: int = 0
) -> SessionRecord:
    state = state_in(session, parsed.key)
    return SessionRecord(parsed.key, parsed.revision, parsed.last_update_time, state, shared, bodies, first)


def _names_its_user(session: Document) -> bool:
    """Whether a document of a list names its user; warns of one that does not."""
    if isinstance(session.get("user_id"), str):
        return True
    logger.warning("Left out of a list: document %r has no user_id, or one that is no text.", session["_id"])
    return False
