"""Who has the turn on a session and who is next: plain values, with no database and no clock.

A queue is stored as one JSON text per session. Whoever changes it reads the
text, computes the next one here, and writes it only if nobody else has written.
Times are the database server's, so the clocks of its clients do not matter.
"""

from __future__ import annotations

import json

from attrs import evolve, field, frozen, validators

LEASE = 15.0
"""Seconds after which a holder or waiter that has not renewed its place loses it."""

_TOKEN = validators.instance_of(str)
_TIME = validators.and_(validators.instance_of((int, float)), validators.lt(float("inf")))


@frozen
class Waiter:
    """A place in the queue.

    Attributes:
        token: A random text that identifies the waiter.
        seen: When the waiter last renewed its place, in seconds of the server's clock.
    """

    token: str = field(validator=_TOKEN)
    seen: float = field(validator=_TIME)


@frozen
class TurnQueue:
    """The turn on one session.

    Attributes:
        holder: The token of the holder; None when the turn is free.
        since: When the holder got it.
        renewed: When the holder last renewed it.
        waiting: The places in the queue, in order of arrival.
    """

    holder: str | None = field(default=None, validator=validators.optional(_TOKEN))
    since: float = field(default=0.0, validator=_TIME)
    renewed: float = field(default=0.0, validator=_TIME)
    waiting: tuple[Waiter, ...] = ()

    @classmethod
    def loads(cls, text: str | None) -> TurnQueue:
        """Reads a queue; None is an empty one.

        Raises:
            ValueError: The text is not a queue.
        """
        if text is None:
            return cls()
        try:
            found = json.loads(text)
            waiting = tuple(Waiter(*one) for one in found["waiting"])
            return cls(found["holder"], found["since"], found["renewed"], waiting)
        except (KeyError, TypeError, RecursionError):
            raise ValueError("not a queue of turns") from None

    def dumps(self) -> str | None:
        """Returns the queue as text; None when nobody holds the turn and nobody waits."""
        if self.holder is None and not self.waiting:
            return None
        waiting = [(one.token, one.seen) for one in self.waiting]
        fields = {"holder": self.holder, "since": self.since, "renewed": self.renewed, "waiting": waiting}
        return json.dumps(fields, separators=(",", ":"))

    def held_for(self, now: float) -> float:
        """Returns for how many seconds the turn has been held."""
        return max(0.0, now - self.since) if self.holder is not None else 0.0

    def entered(self, token: str, now: float, *, stay: bool = True) -> TurnQueue:
        """Gives `token` the turn if it is free and nobody waits before it, otherwise a place in the queue.

        Args:
            token: Who asks for the turn.
            now: The server's time in seconds.
            stay: Whether to take a place in the queue.

        Returns:
            The new queue; `token` has the turn if it is its `holder`.
        """
        queue = self._without_expired(now)
        if queue.holder == token:
            return evolve(queue, renewed=now)
        if queue.holder is None and (not queue.waiting or queue.waiting[0].token == token):
            return TurnQueue(token, now, now, queue.waiting[1:])
        if not stay:
            return queue
        places = [one.token for one in queue.waiting]
        if token not in places:
            return evolve(queue, waiting=(*queue.waiting, Waiter(token, now)))
        at = places.index(token)
        if now - queue.waiting[at].seen < LEASE / 3:
            return queue  # renewed a moment ago: no need to write
        return evolve(queue, waiting=(*queue.waiting[:at], Waiter(token, now), *queue.waiting[at + 1 :]))

    def renewed_by(self, token: str, now: float) -> TurnQueue | None:
        """Renews the turn of its holder; returns None if `token` is no longer the holder."""
        return evolve(self, renewed=now) if self.holder == token else None

    def left(self, token: str) -> TurnQueue:
        """Removes `token`, whether it has the turn or waits for it."""
        waiting = tuple(one for one in self.waiting if one.token != token)
        return TurnQueue(waiting=waiting) if self.holder == token else evolve(self, waiting=waiting)

    def _without_expired(self, now: float) -> TurnQueue:
        # A later time was noted before the server's clock was set back: what counts is now, or it would never expire.
        renewed = min(self.renewed, now)
        waiting = tuple(Waiter(one.token, min(one.seen, now)) for one in self.waiting if now - one.seen < LEASE)
        if self.holder is not None and now - renewed >= LEASE:
            return TurnQueue(waiting=waiting)
        return evolve(self, renewed=renewed, waiting=waiting)
