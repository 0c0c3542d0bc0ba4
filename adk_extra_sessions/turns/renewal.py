"""Renews the turns that this process holds."""

from __future__ import annotations

import logging
import threading
import time

from attrs import define, field

from adk_extra_sessions.forks import reset_after_fork
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns import queue
from adk_extra_sessions.turns.storage import TurnStorage
from adk_extra_sessions.turns.turn import Turn

logger = logging.getLogger(__name__)


@define(eq=False)
class _Group:
    """The turns that are kept in one storage."""

    storage: TurnStorage
    turns: set[Turn] = field(factory=set)


class Renewal:
    """Renews turns, with a thread for each storage that keeps some.

    A thread each, so that a server that does not answer delays no renewal on another. It ends some seconds after
    the last turn.
    """

    _groups: list[_Group]

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forgets the parent's turns, which the parent renews."""
        self._lock = threading.Lock()
        self._groups = []

    def add(self, turn: Turn) -> None:
        """Renews a turn from now on.

        Raises:
            RuntimeError: No thread can be started.
        """
        with self._lock:
            for group in self._groups:
                if group.storage == turn.storage:
                    group.turns.add(turn)
                    return
            group = _Group(turn.storage, {turn})
            self._groups.append(group)
            try:
                threading.Thread(target=self._work, args=(group,), name="adk-turns", daemon=True).start()
            except RuntimeError:
                self._groups.remove(group)
                raise

    def discard(self, turn: Turn) -> bool:
        """Stops renewing a turn; returns whether it was being renewed."""
        with self._lock:
            for group in self._groups:
                if turn in group.turns:
                    group.turns.discard(turn)
                    return True
        return False

    def turns(self) -> list[Turn]:
        """Returns the turns that are being renewed."""
        with self._lock:
            return [turn for group in self._groups for turn in group.turns]

    def on(self, storage: TurnStorage, key: SessionKey) -> list[Turn]:
        """Returns the turns on one session that are being renewed: one, or also others that are about to be lost."""
        return [one for one in self.turns() if one.key == key and one.storage == storage]

    def _work(self, group: _Group) -> None:
        while True:
            time.sleep(queue.LEASE / 3)
            with self._lock:
                turns = list(group.turns)
                if not turns:
                    self._groups.remove(group)
                    return
            for turn in turns:
                self._renew(turn)

    def _renew(self, turn: Turn) -> None:
        try:
            if turn.abandoned():
                self._lose(turn)
                turn.leave()
            elif not turn.renew() and self._lose(turn):  # else it was given back at this very moment
                logger.warning("%s: the turn was lost: it was not renewed in time.", turn.key)
        except Exception as error:  # whatever it is: other turns must be renewed
            logger.warning("%s: a turn could not be renewed (%s).", turn.key, type(error).__name__)

    def _lose(self, turn: Turn) -> bool:
        turn.lost = self.discard(turn)
        return turn.lost


renewal = Renewal()
"""That of this process."""
