"""When a session expires, and how long its chunks must stay. The server's TTL indexes remove both some time later.

Each document carries its own date, `expires_at`, set by the last writer. Readers go by that date alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from attrs import frozen

NEVER = datetime(9999, 12, 31)
"""The date of what does not expire: compared and indexed like any other."""


@frozen
class Expiry:
    """The dates that a store's writes set.

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

    def chunk_range(self) -> tuple[datetime, datetime]:
        """Between which dates the chunks of a session that is written now may expire."""
        return self._after(1.5), self._after(3)

    def _after(self, ttls: float) -> datetime:
        now = self.now()
        later = timedelta(milliseconds=self.ttl_ms * ttls)
        return now + later if self.ttl_ms and later < NEVER - now else NEVER
