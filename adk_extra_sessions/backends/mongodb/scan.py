"""Walking over all that is stored on MongoDB: apps, sessions, and users' state, by `_id`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from adk_extra_sessions.backends.damaged import left_out_if_damaged
from adk_extra_sessions.backends.mongodb import layout, strays
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.paging import pages
from adk_extra_sessions.backends.mongodb.session_parsing import pending_of
from adk_extra_sessions.backends.mongodb.shared_state import Delta, state_with
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state import SharedScope

logger = logging.getLogger(__name__)

IDS = 5000
"""Ids of sessions that one round trip reads."""

STATES = 500
"""States of users, or documents of sessions, that one round trip reads."""


@frozen
class Scan:
    """A walk over the collections; see `Copyable` for what each method yields."""

    sessions: Any
    states: Any

    def app_names(self) -> Iterator[str]:
        """Finds the apps that have anything stored, each once."""
        met: set[str] = set()
        for collection in (self.sessions, self.states):
            # From app to app along the ids: one small query for each.
            beyond = ""
            while found := collection.find_one({"_id": {"$gt": beyond}}, {"_id": 1}, sort=[("_id", 1)]):
                app, slash, _ = found["_id"].partition("/")
                beyond = f"{app}/\x7f" if slash else app
                if app not in met:
                    met.add(app)
                    yield unquote(app)

    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        """Finds the sessions of an app or of one user."""
        prefix = layout.app_id(app_name) if user_id is None else layout.user_id(app_name, user_id)
        selected: Document = {"_id": layout.below(prefix), "app_name": app_name}
        for page in pages(self.sessions, selected, IDS, ["_id"]):
            yield from filter(None, map(strays.key_of, page))

    def app_state(self, app_name: str) -> Mapping[str, Any]:
        """Reads the app's state."""
        # Read before the state itself, so that a delta that is applied meanwhile is not missed.
        deltas = [delta for _, delta in self._pending(app_name, None, "app")]
        return state_with(self.states.find_one(layout.app_filter(app_name)), deltas, SessionKey(app_name, "", ""))

    def user_states(self, app_name: str, user_id: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any, or of one."""
        pending: dict[str, list[Delta]] = {}
        for user, delta in self._pending(app_name, user_id, "user"):
            pending.setdefault(user, []).append(delta)
        for user, document in chain(self._user_documents(app_name, user_id), ((user, {}) for user in list(pending))):
            deltas = pending.pop(user, [])
            # Without either, an append that was refused has only taken a ticket, or the user was yielded already.
            if "state" in document or deltas:
                key = SessionKey(app_name, user, "")
                with left_out_if_damaged(key):
                    yield user, state_with(document, deltas, key)

    def _user_documents(self, app_name: str, user_id: str | None) -> Iterator[tuple[str, Document]]:
        if user_id is not None:
            document = self.states.find_one(layout.user_filter(app_name, user_id))
            yield from [] if document is None else [(user_id, document)]
            return
        users = layout.below(layout.app_id(app_name))
        users["$gte"] = users.pop("$gt")  # "" is a user too
        for page in pages(self.states, {"_id": users, "app_name": app_name}, STATES):
            for found in page:
                user = found.get("user_id")
                if isinstance(user, str):
                    yield user, found
                else:
                    text = "Left out: document %r in state has no user_id, or one that is no text."
                    logger.warning(text, found["_id"])

    def _pending(self, app_name: str, user_id: str | None, scope: SharedScope) -> Iterator[tuple[str, Delta]]:
        """Yields the deltas of a scope that sessions still hold, each with its user."""
        prefix = layout.app_id(app_name) if user_id is None else layout.user_id(app_name, user_id)
        # The server is not asked to look for them: that could take longer than the driver waits for an answer.
        for page in pages(self.sessions, {"_id": layout.below(prefix), "app_name": app_name}, STATES, ["pending"]):
            for found in page:
                key = strays.key_of(found)
                if key is None or not found.get("pending"):
                    continue
                with left_out_if_damaged(key):
                    parts = [one[scope] for one in pending_of(found, key) if scope in one]
                    yield from ((key.user_id, (part["ticket"], part["state"])) for part in parts)
