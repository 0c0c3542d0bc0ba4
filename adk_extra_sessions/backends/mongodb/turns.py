"""Turns on MongoDB: one small document per session in a collection of their own."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import frozen
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, PyMongoError
from typing_extensions import override

from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns.storage import TurnStorage

KEPT = timedelta(hours=1)
"""How long after the last change the TTL index keeps a turn that was never given back."""


@frozen
class MongoTurns(TurnStorage):
    """The turns of a store's sessions.

    Attributes:
        turns: The collection.
    """

    turns: Any
    driver_error = PyMongoError

    @override
    @retried
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        found = self.turns.find_one(layout.session_filter(key), {"queue": 1})
        return (str(found.get("queue")) if found else None), self._now()

    @override
    @retried
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        selected = layout.session_filter(key)
        expires = datetime.now(timezone.utc).replace(tzinfo=None) + KEPT
        if old is None:
            try:
                self.turns.insert_one({**selected, "queue": new, "expires_at": expires})
            except DuplicateKeyError:
                return False
            return True
        if new is None:
            return bool(self.turns.delete_one({**selected, "queue": old}).deleted_count)
        changed = {"$set": {"queue": new, "expires_at": expires}}
        return bool(self.turns.update_one({**selected, "queue": old}, changed).matched_count)

    def _now(self) -> float:
        """Returns the server's time, so that the clocks of its clients need not agree."""
        client = self.turns.database.client
        if not isinstance(client, MongoClient):
            return time.time()
        local: datetime = client.admin.command("hello")["localTime"]
        return local.replace(tzinfo=timezone.utc).timestamp()
