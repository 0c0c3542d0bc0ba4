"""Renewing all turns that this process holds."""

from __future__ import annotations

import logging
import os
import threading

from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns import queue
from adk_extra_sessions.turns.storage import TurnStorage
from adk_extra_sessions.turns.turn import Turn

logger = logging.getLogger(__name__)


class Renewal:
    """One thread that renews all turns that this process holds; it ends when there are none."""

    _turns: set[Turn]
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all turns, without giving them back."""
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._turns = set()
        self._thread = None

    def add(self, turn: Turn) -> None:
        """Keeps a turn from now on."""
        with self._lock:
            self._turns.add(turn)
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="adk-turns", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had
                    self._turns.discard(turn)
                    raise
                self._thread = thread

    def discard(self, turn: Turn) -> None:
        """Stops keeping a turn."""
        with self._lock:
            self._turns.discard(turn)
            if not self._turns:
                self._idle.set()

    def turns(self) -> list[Turn]:
        """Returns the turns that are kept."""
        with self._lock:
            return list(self._turns)

    def _work(self) -> None:
        while True:
            self._idle.wait(queue.LEASE / 3)
            with self._lock:
                self._idle.clear()
                turns = list(self._turns)
                if not turns:
                    self._thread = None
                    return
            for turn in turns:
                self._keep(turn)

    def _keep(self, turn: Turn) -> None:
        try:
            if turn.abandoned():
                self.discard(turn)
                turn.leave()
            elif not turn.renew() and turn in self.turns():  # else it was given back at this very moment
                turn.lost = True
                self.discard(turn)
                logger.warning("%s: the turn was lost: it was not renewed in time.", describe(turn.key))
        except (turn.storage.driver_error, CorruptRecordError) as error:
            logger.warning("%s: a turn could not be renewed (%s).", describe(turn.key), type(error).__name__)

    def is_held(self, storage: TurnStorage, key: SessionKey, holder: object) -> bool:
        """Tells whether a task or thread of this process has the turn on a session."""
        return any(one.key == key and one.storage == storage and one.holder is holder for one in self.turns())


renewal = Renewal()
# A child process has neither the thread nor its parent's turns, but maybe a held lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renewal.reset)
