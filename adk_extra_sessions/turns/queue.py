"""Who may run on a session now, and who is next: plain values, no database and no clock of its own.

A queue is kept as one JSON text per session. Whoever changes it reads the
text, computes the next one here, and writes it only if nobody was quicker.
Times are the database server's, so the clocks of its clients do not matter.
"""

from __future__ import annotations

import json

from attrs import evolve, frozen

LEASE = 15.0
"""Seconds after its last sign of life at which a holder, or a waiter, is taken for dead."""


@frozen
class Waiter:
    """Somebody who waits.

    Attributes:
        token: A random text of its own.
        seen: When it last showed that it still waits, in seconds of the server's clock.
    """

    token: str
    seen: float


@frozen
class TurnQueue:
    """The turn on one session.

    Attributes:
        holder: The token of whoever has the turn; None when it is free.
        since: When the holder got it.
        renewed: When the holder last renewed it.
        waiting: Who waits, in order of arrival.
    """

    holder: str | None = None
    since: float = 0.0
    renewed: float = 0.0
    waiting: tuple[Waiter, ...] = ()

    @classmethod
    def loads(cls, text: str | None) -> TurnQueue:
        """Reads a queue; None is an empty one."""
        if text is None:
            return cls()
        found = json.loads(text)
        return cls(found["holder"], found["since"], found["renewed"], tuple(Waiter(*one) for one in found["waiting"]))

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
        """Gives `token` the turn if it is free and nobody came earlier; else lets it wait.

        Args:
            token: Who wants the turn.
            now: The server's time in seconds.
            stay: Whether to wait when the turn is not to be had.

        Returns:
            The queue after it; the turn was given if its `holder` is `token`.
        """
        queue = self._without_the_dead(now)
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
            return queue  # seen a moment ago: no need to write
        return evolve(queue, waiting=(*queue.waiting[:at], Waiter(token, now), *queue.waiting[at + 1 :]))

    def renewed_by(self, token: str, now: float) -> TurnQueue | None:
        """Keeps the turn for its holder; None if `token` does not have it any more."""
        return evolve(self, renewed=now) if self.holder == token else None

    def left(self, token: str) -> TurnQueue:
        """Takes `token` out of the queue, whether it has the turn or waits for it."""
        waiting = tuple(one for one in self.waiting if one.token != token)
        return TurnQueue(waiting=waiting) if self.holder == token else evolve(self, waiting=waiting)

    def _without_the_dead(self, now: float) -> TurnQueue:
        waiting = tuple(one for one in self.waiting if now - one.seen < LEASE)
        if self.holder is not None and now - self.renewed >= LEASE:
            return TurnQueue(waiting=waiting)
        return self if waiting == self.waiting else evolve(self, waiting=waiting)
