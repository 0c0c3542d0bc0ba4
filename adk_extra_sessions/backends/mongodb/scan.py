"""Walking over all that is stored on MongoDB: apps, sessions, and users' state, by `_id`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from adk_extra_sessions.backends.damaged import left_out_if_damaged
from adk_extra_sessions.backends.mongodb import documents, strays
from adk_extra_sessions.backends.mongodb.documents import Document
from adk_extra_sessions.backends.mongodb.paging import pages
from adk_extra_sessions.backends.mongodb.values import state_of
from adk_extra_sessions.records import SessionKey

logger = logging.getLogger(__name__)

IDS = 5000
"""Ids of sessions that one round trip reads."""

STATES = 500
"""States of users that one round trip reads."""


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
        prefix = documents.app_id(app_name) if user_id is None else documents.user_id(app_name, user_id)
        selected: Document = {"_id": documents.below(prefix), "app_name": app_name}
        for page in pages(self.sessions, selected, IDS, ["_id"]):
            yield from filter(None, map(strays.key_of, page))

    def user_states(self, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any."""
        users = documents.below(documents.app_id(app_name))
        users["$gte"] = users.pop("$gt")  # "" is a user too
        for page in pages(self.states, {"_id": users, "app_name": app_name}, STATES):
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
