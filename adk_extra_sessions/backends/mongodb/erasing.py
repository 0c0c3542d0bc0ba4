"""Erasing all that belongs to a user, or to an app with all its users."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.records import Erased

IDS = 1000
"""Sessions that one round trip deletes."""


@frozen
class Erasing:
    """Deletes documents by their names and by their ids, so that damaged and foreign ones go too.

    Sessions go first: an append that comes later finds none, and takes back
    what it has written. State goes after them: a delta that is applied later
    names the document that it was made for, and none is made anew. Then all
    again until nothing is left: a session that was created meanwhile may have
    lost its chunks.
    """

    sessions: Any
    chunks: Any
    states: Any
    turns: Any

    def erase(self, app_name: str, user_id: str | None) -> Erased:
        """Deletes everything; see `Erasable.erase`."""
        selected = _belonging(app_name, user_id)
        total = Erased()
        while True:
            erased = self._sessions(selected)
            chunks = self.chunks.delete_many(selected).deleted_count
            states = self.states.delete_many(_state_of(app_name, user_id)).deleted_count
            turns = self.turns.delete_many(selected).deleted_count
            records = erased.sessions + chunks + states + turns
            if not records:
                return total
            total += Erased(erased.sessions, erased.events, states, turns, records)

    def _sessions(self, selected: Document) -> Erased:
        total = Erased()
        fields = {"tail_first": 1, "tail_count": 1, "first_position": 1}
        while found := list(self.sessions.find(selected, fields).limit(IDS)):
            deleted = self.sessions.delete_many({"_id": {"$in": [one["_id"] for one in found]}})
            total += Erased(sessions=deleted.deleted_count, events=sum(map(_events, found)))
        return total


def _belonging(app_name: str, user_id: str | None) -> Document:
    """Selects documents that have the names, or whose ids are made of them."""
    if user_id is None:
        return {"$or": [{"app_name": app_name}, {"_id": layout.below(layout.app_id(app_name))}]}
    names = {"app_name": app_name, "user_id": user_id}
    return {"$or": [names, {"_id": layout.below(layout.user_id(app_name, user_id))}]}


def _state_of(app_name: str, user_id: str | None) -> Document:
    """Selects the state of a user, or of an app and all its users."""
    own = layout.app_id(app_name) if user_id is None else layout.user_id(app_name, user_id)
    belonging = _belonging(app_name, user_id)
    return {"$or": [*belonging["$or"], {"_id": own}]}


def _events(session: Document) -> int:
    counts = [session.get(name) for name in ("tail_first", "tail_count", "first_position")]
    first, count, kept = (one if isinstance(one, int) else 0 for one in counts)
    return max(0, first + count - kept)
