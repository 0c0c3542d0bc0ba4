"""A turn on a session: taking it, keeping it and giving it back, as single steps."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field, frozen

from adk_extra_sessions.errors import ClosedError, CorruptRecordError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns import queue
from adk_extra_sessions.turns.local import LocalTurns
from adk_extra_sessions.turns.queue import TurnQueue
from adk_extra_sessions.turns.storage import TurnStorage

logger = logging.getLogger(__name__)

PROMPT = 1.0
"""Seconds within which a server that can be reached has usually answered."""


@frozen
class Refused:
    """Why a turn could not be had yet.

    Attributes:
        held_for: For how many seconds the turn has been held.
        is_next: Whether nobody else waits before.
    """

    held_for: float
    is_next: bool


@define(eq=False)
class Turn:
    """A turn on a session.

    Attributes:
        key: The session.
        holder: The task or thread that has it, or wants it.
        abandoned: Tells whether its holder is gone without having given it back.
        lost: Whether it is known to have been lost: it was not renewed in time and somebody else may have it.
        inner: Where those who work inside this turn keep turns among themselves.
    """

    storage: TurnStorage = field(repr=False)
    key: SessionKey
    holder: object = field(repr=False)
    abandoned: Callable[[], bool] = field(default=lambda: False, repr=False)
    lost: bool = False
    inner: TurnStorage = field(factory=LocalTurns, repr=False)
    _token: str = field(factory=lambda: uuid.uuid4().hex, repr=False)
    _renewed: float = field(factory=time.monotonic, repr=False)

    def enter(self, *, stay: bool) -> Refused | None:
        """Takes the turn, or a place among those who wait; returns None once it has the turn."""
        after, now = self._entered(stay)
        self._renewed = time.monotonic()
        if after.holder == self._token:
            return None
        return Refused(after.held_for(now), bool(after.waiting) and after.waiting[0].token == self._token)

    def _entered(self, stay: bool) -> tuple[TurnQueue, float]:
        while True:
            text, now = self.storage.read(self.key)
            before = self._queue(text)
            after = before.entered(self._token, now, stay=stay)
            if after == before or self.storage.swap(self.key, text, after.dumps()):
                return after, now

    def renew(self) -> bool:
        """Keeps the turn; returns False if somebody else has it by now."""
        while True:
            text, now = self.storage.read(self.key)
            after = self._queue(text).renewed_by(self._token, now)
            if after is None:
                return False
            if self.storage.swap(self.key, text, after.dumps()):
                self._renewed = time.monotonic()
                return True

    def leave(self) -> bool:
        """Gives the turn, or the place among those who wait, back; returns whether it had the turn."""
        began = time.monotonic()
        try:
            return self._left()
        except KeyboardInterrupt:
            if time.monotonic() - began < PROMPT:  # begun anew, or the next one would wait until the lease ends
                with suppress(self.storage.driver_error, ClosedError):
                    self._left()
            raise

    def _left(self) -> bool:
        had = False
        while True:
            text, _ = self.storage.read(self.key)
            before = self._queue(text)
            had = had or before.holder == self._token  # not any more, if it is the reply to the swap that was lost
            after = before.left(self._token)
            if after == before or self.storage.swap(self.key, text, after.dumps()):
                return had

    def leave_quietly(self) -> bool:
        """Leaves; when that cannot be done any more, the turn ends by itself some seconds later."""
        try:
            return self.leave()
        except (self.storage.driver_error, ClosedError) as error:
            logger.warning("%s: the turn could not be given back (%s).", self.key, type(error).__name__)
            return not self.lost

    def leave_after_error(self) -> None:
        """Leaves, unless the turn has ended by itself: it was not renewed if the server was gone for so long."""
        if time.monotonic() - self._renewed < queue.LEASE:
            self.leave_quietly()

    def _queue(self, text: str | None) -> TurnQueue:
        try:
            return TurnQueue.loads(text)
        except ValueError:
            raise CorruptRecordError(f"{self.key}: the record of its turn cannot be read.") from None
