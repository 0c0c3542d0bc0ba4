"""Answers a `SessionQuery` on MongoDB with a page of sessions without their events, or with their number."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.damaged import leave_out
from adk_extra_sessions.backends.mongodb import guards, layout
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.paging import documents_of
from adk_extra_sessions.backends.mongodb.session_parsing import FIELDS, pending_of, record_of
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.backends.mongodb.values import field_name
from adk_extra_sessions.backends.stored_format import check_format
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.queries import Cursor, RecordPage, SessionQuery, checked_cursor
from adk_extra_sessions.records import SessionKey, SessionRecord
from adk_extra_sessions.state import SharedState

logger = logging.getLogger(__name__)

NOTHING = SharedState(user={}, app={})


@frozen
class SessionQueries:
    """Finds the sessions of an app or of a user."""

    sessions: Any
    shared: SharedStates
    expiry: Expiry

    def page(self, query: SessionQuery) -> RecordPage:
        """Reads one page; see `Backend.list`."""
        selected = self._selected(query)
        fields = [*FIELDS, "state"] if query.with_state else list(FIELDS)
        if query.order == "storage":
            prefix = _prefix(query.app_name, query.user_id)
            selected["_id"] = {**layout.below(prefix), **({"$gt": _id(query.after)} if query.after else {})}
            order = [("_id", 1)]
        else:
            direction = -1 if query.order.endswith("desc") else 1
            selected.update(_beyond(query.after, "$lt" if direction == -1 else "$gt") if query.after else {})
            order = [("last_update_time", direction), ("_id", direction)]
        size = query.size + 1  # one more tells whether there is a next page
        cursor = self.sessions.find(selected, fields, batch_size=size + 1).sort(order).limit(size)
        found = documents_of(cursor)
        page = found[: query.size]
        return RecordPage(self._records(query, page), _place(page[-1], query) if len(found) == size else None)

    def count(self, query: SessionQuery) -> int:
        """Counts sessions; see `Managed.count`."""
        return int(self.sessions.count_documents(self._selected(query)))

    def _selected(self, query: SessionQuery) -> Document:
        user = {} if query.user_id is None else {"user_id": query.user_id}
        labels = {f"labels.{field_name(name)}": text for name, text in query.labels.items()}
        return {"app_name": query.app_name, **user, **labels, **guards.alive_query(self.expiry)}

    def _records(self, query: SessionQuery, page: Sequence[Document]) -> list[SessionRecord]:
        named = [session for session in page if _names_its_user(session)]
        found, shared = self._shared(query, {session["user_id"] for session in named})
        records = []
        for session in named:
            key = SessionKey(query.app_name, session["user_id"], str(session.get("session_id", session["_id"])))
            try:
                check_format(session.get("format"), key)
                pending = pending_of(session, key)
                if key.user_id in shared:
                    alone = query.with_state and pending
                    state = self.shared.view(found, pending, key) if alone else shared[key.user_id]
                    records.append(record_of(session, key, state))
            except CorruptRecordError as error:
                leave_out(key, error)
        return records

    def _shared(self, query: SessionQuery, users: set[str]) -> tuple[list[Document], Mapping[str, SharedState]]:
        """Reads the state that the sessions of users share: its documents, and what they mean for each user."""
        if not query.with_state:
            return [], dict.fromkeys(users, NOTHING)
        ids = [layout.app_id(query.app_name), *(layout.user_id(query.app_name, user) for user in users)]
        found = documents_of(self.shared.states.find({"_id": {"$in": ids}, "app_name": query.app_name}))
        return found, self.shared.views(query.app_name, users, found)


def _prefix(app_name: str, user_id: str | None) -> str:
    return layout.app_id(app_name) if user_id is None else layout.user_id(app_name, user_id)


def _place(session: Document, query: SessionQuery) -> Cursor:
    """Returns where the page after this session begins."""
    if query.order == "storage":
        return (session["_id"],)
    return session["last_update_time"], session["_id"]


def _id(after: Cursor) -> str:
    (identity,) = checked_cursor(after, str)
    return str(identity)


def _beyond(after: Cursor, operator: str) -> Document:
    """Selects the sessions after a place in the order of their last update."""
    time, identity = checked_cursor(after, (int, float), str)
    later = [{"last_update_time": {operator: time}}, {"last_update_time": time, "_id": {operator: identity}}]
    return {"last_update_time": {f"{operator}e": time}, "$or": later}


def _names_its_user(session: Document) -> bool:
    """Whether a document of a list names its user; warns of one that does not."""
    if isinstance(session.get("user_id"), str):
        return True
    logger.warning("Left out of a list: document %r has no user_id, or one that is no text.", session["_id"])
    return False
