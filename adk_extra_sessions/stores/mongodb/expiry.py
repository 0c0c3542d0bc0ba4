"""When a session has expired. The server's TTL index removes it some time later."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import frozen

from adk_extra_sessions.stores.mongodb.documents import Document


@frozen
class Expiry:
    """A store's expiry.

    Attributes:
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
    """

    ttl_ms: int

    def now(self) -> datetime:
        """The time as MongoDB keeps it: UTC, without a zone."""
        return datetime.now(timezone.utc).replace(tzinfo=None)

    def expired(self, session: Document) -> bool:
        """Whether a session, though still stored, is no more."""
        return bool(self.ttl_ms) and _utc(session.get("active_at")) <= self._limit()

    def alive_filter(self) -> Document:
        """Selects sessions that have not expired."""
        return {"active_at": {"$gt": self._limit()}} if self.ttl_ms else {}

    def dead_filter(self) -> Document:
        """Selects sessions that have expired."""
        return {"active_at": {"$lte": self._limit()}}

    def chunks_alive_filter(self) -> Document:
        """Selects sessions whose chunks need no renewal yet.

        Chunks are renewed once in half a ttl and kept for two, so they always outlive their session.
        """
        return {"chunks_active_at": {"$gt": self._limit(0.5)}} if self.ttl_ms else {}

    def chunks_due(self, session: Document) -> bool:
        """Whether a session's chunks must be renewed."""
        return bool(self.ttl_ms) and _utc(session["chunks_active_at"]) <= self._limit(0.5)

    def _limit(self, share: float = 1) -> datetime:
        return self.now() - timedelta(milliseconds=self.ttl_ms * share)


def _utc(value: Any) -> datetime:
    if not isinstance(value, datetime):
        return datetime.max
    return value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
