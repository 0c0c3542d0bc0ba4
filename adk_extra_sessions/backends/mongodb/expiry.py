"""When a session expires, and how long its chunks must stay. The server's TTL indexes remove both some time later.

Each document carries its own date, `expires_at`, set by the last writer. Readers go by that date alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from attrs import frozen

from adk_extra_sessions.backends.mongodb.documents import Document

NEVER = datetime(9999, 12, 31)
"""The date of what does not expire: compared and indexed like any other."""


@frozen
class Expiry:
    """What a store's writes do to expiry.

    Chunks are renewed seldom, not with each append: they stay half a ttl longer than their session at least, and
    two more at most.

    Attributes:
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
    """

    ttl_ms: int

    def now(self) -> datetime:
        """The time as MongoDB keeps it: UTC, without a zone, in milliseconds."""
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def expires_at(self) -> datetime:
        """When a session that is written now expires."""
        return self._after(1)

    def chunks_expire_at(self) -> datetime:
        """When a chunk that is written or renewed now expires."""
        return self._after(2)

    def expired(self, session: Document) -> bool:
        """Whether a session, though still stored, is no more."""
        date = session.get("expires_at")
        return isinstance(date, datetime) and _utc(date) <= self.now()

    def alive_filter(self) -> Document:
        """Selects sessions that have not expired."""
        return {"expires_at": {"$not": {"$lte": self.now()}}}

    def dead_filter(self) -> Document:
        """Selects sessions that have expired."""
        return {"expires_at": {"$lte": self.now()}}

    def chunks_filter(self) -> Document:
        """Selects sessions whose chunks expire neither too soon nor too late for a write of this store."""
        return {"chunks_expire_at": {"$gte": self._after(1.5), "$lte": self._after(3)}}

    def chunks_fit(self, session: Document) -> bool:
        """Whether `chunks_filter` selects a session."""
        return self._after(1.5) <= _utc(session["chunks_expire_at"]) <= self._after(3)

    def _after(self, ttls: float) -> datetime:
        now = self.now()
        later = timedelta(milliseconds=self.ttl_ms * ttls)
        return now + later if self.ttl_ms and later < NEVER - now else NEVER


def _utc(date: datetime) -> datetime:
    return date if date.tzinfo is None else date.astimezone(timezone.utc).replace(tzinfo=None)
