"""Turns in memory: for runs that share a turn on the database's."""

from __future__ import annotations

import threading
import time

from attrs import define, field
from typing_extensions import override

from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns.storage import TurnStorage


@define(eq=False)
class LocalTurns(TurnStorage):
    """Keeps the turns of one process, for as long as somebody holds or wants one."""

    driver_error = OSError  # never raised here

    _texts: dict[SessionKey, str] = field(factory=dict, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    @override
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        return self._texts.get(key), time.monotonic()

    @override
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        with self._lock:
            if self._texts.get(key) != old:
                return False
            if new is None:
                self._texts.pop(key, None)
            else:
                self._texts[key] = new
            return True
