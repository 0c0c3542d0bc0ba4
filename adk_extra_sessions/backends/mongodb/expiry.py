"""When a session expires, and how long its chunks must stay. The server's TTL indexes remove both some time later.

Each document carries its own date, `expires_at`, set by the last writer. Readers look only at that date.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from attrs import frozen

from adk_extra_sessions import details
from adk_extra_sessions.backends.mongodb.layout import UNTIL
from adk_extra_sessions.details import Lifetime

NEVER = datetime(9999, 12, 31)
"""The date of what does not expire: compared and indexed like any other."""


def date_of(seconds: float) -> datetime:
    """Returns a time in seconds since the epoch as a date of MongoDB's: UTC, without a zone, in milliseconds."""
    try:
        return datetime(1970, 1, 1) + timedelta(milliseconds=round(seconds * 1000))
    except OverflowError:
        return NEVER


def seconds_of(date: datetime) -> float:
    """Returns a date of MongoDB's in seconds since the epoch."""
    return round((date - datetime(1970, 1, 1)) / timedelta(milliseconds=1)) / 1000


def lifetime_of(expires_at: datetime, ttl_ms: int | None) -> Lifetime:
    """Returns the lifetime of a session that has these fields; None for `ttl_ms` if it is absent."""
    if ttl_ms is None:
        return details.DEFAULT
    if ttl_ms == UNTIL:
        return Lifetime.until(seconds_of(expires_at))
    return Lifetime.sliding(ttl_ms) if ttl_ms else details.NEVER


@frozen
class Expiry:
    """The dates that a write to a session sets.

    Chunks are renewed seldom, not with each append: they stay half a ttl longer than their session at least, and
    two more at most.

    Attributes:
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
        at: When it expires, however often it is written to.
    """

    ttl_ms: int
    at: datetime | None = None

    def of(self, lifetime: Lifetime) -> Expiry:
        """Returns the dates for a session that has this lifetime; `self` has those for the store's own ttl."""
        if lifetime.kind == "default":
            return self
        return Expiry(lifetime.ttl_ms, date_of(lifetime.expire_time) if lifetime.kind == "fixed" else None)

    def now(self) -> datetime:
        """The time as MongoDB keeps it: UTC, without a zone, in milliseconds."""
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def expires_at(self) -> datetime:
        """When a session that is written now expires."""
        return self.at or self._after(1)

    def chunks_expire_at(self) -> datetime:
        """When a chunk that is written or renewed now expires."""
        return self._later(1) if self.at else self._after(2)

    def chunk_range(self) -> tuple[datetime, datetime]:
        """Between which dates the chunks of a session that is written now may expire."""
        return (self.at, self._later(2)) if self.at else (self._after(1.5), self._after(3))

    def _later(self, days: int) -> datetime:
        """Days after the moment at which the session expires, which is given."""
        at = self.at or NEVER
        return at + timedelta(days) if at < NEVER - timedelta(days) else NEVER

    def _after(self, ttls: float) -> datetime:
        now = self.now()
        later = timedelta(milliseconds=self.ttl_ms * ttls)
        return now + later if self.ttl_ms and later < NEVER - now else NEVER
