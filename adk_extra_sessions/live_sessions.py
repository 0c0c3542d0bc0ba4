"""Live sessions while their events are stored: whoever stores them, they come into the session in the order stored.

One live session may be used by several event loops, threads, services and
stores at once. So what is under way on it is known to the whole process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from attrs import define, field
from google.adk.sessions import Session

from adk_extra_sessions.adk.private import storage_marker
from adk_extra_sessions.forks import make_anew

if TYPE_CHECKING:
    from adk_extra_sessions.appends import Append


@define(eq=False)
class _UnderWay:
    """What is under way on one live session.

    Attributes:
        turn: Held by whoever stores events of it.
        writers: How many hold `turn` or wait for it.
        stored: What was stored and is not yet in the session, in the order stored.
    """

    turn: threading.Lock = field(factory=threading.Lock)
    writers: int = 0
    stored: deque[Append] = field(factory=deque)


class LiveSessions:
    """All live sessions that have something under way."""

    def __init__(self) -> None:
        self.after_fork()
        make_anew(self)

    def after_fork(self) -> None:
        """Forgets what the parent's threads were about to do; no marker has moved past what its session has."""
        self._lock = threading.Lock()
        self._under_way: dict[int, _UnderWay] = {}

    def storing(self, sessions: Sequence[Session]) -> AbstractContextManager[Any]:
        """Waits for those who store events of any of `sessions`, and keeps others waiting."""
        return _Turns(self, sessions)

    def enter(self, sessions: Sequence[Session]) -> dict[int, _UnderWay]:
        """Notes that somebody wants to store events of `sessions`."""
        # Everybody takes turns in the same order, so that no two wait for each other.
        keys = sorted(map(id, sessions)) if len(sessions) > 1 else map(id, sessions)
        found: dict[int, _UnderWay] = {}
        with self._lock:
            for key in keys:
                if key not in found:
                    found[key] = one = self._under_way.get(key) or self._under_way.setdefault(key, _UnderWay())
                    one.writers += 1
        return found

    def leave(self, found: dict[int, _UnderWay]) -> None:
        """Notes that somebody has stored what they wanted to."""
        with self._lock:
            for key, one in found.items():
                one.writers -= 1
                self._forget_if_done(key, one)

    def marker(self, session: Session) -> str | None:
        """Returns the marker that a session will have when all that was stored has come into it."""
        with self._lock:
            found = self._under_way.get(id(session))
            return found.stored[-1].marker if found and found.stored else storage_marker(session)

    def add(self, append: Append) -> None:
        """Notes that an append was stored. To be called inside `storing`."""
        with self._lock:
            self._under_way[id(append.session)].stored.append(append)

    def commit(self, append: Append) -> None:
        """Brings a live session up to date, up to and including an append that was stored."""
        key = id(append.session)
        with self._lock:
            found = self._under_way.get(key)
            while found and not append.committed:
                # Removed only after that: interrupted by Ctrl-C, it is done again.
                found.stored[0].change_session()
                found.stored.popleft()
            if found:
                self._forget_if_done(key, found)

    def _forget_if_done(self, key: int, found: _UnderWay) -> None:
        if not found.writers and not found.stored:
            self._under_way.pop(key, None)


class _Turns:
    """The turns of all sessions that somebody stores events of. A class, since it is quicker than a generator."""

    __slots__ = ("_found", "_held", "_live", "_sessions")

    def __init__(self, live: LiveSessions, sessions: Sequence[Session]) -> None:
        self._live = live
        self._sessions = sessions
        self._held: list[threading.Lock] = []

    def __enter__(self) -> None:
        self._found = self._live.enter(self._sessions)
        try:
            for one in self._found.values():
                one.turn.acquire()
                self._held.append(one.turn)
        except BaseException:  # Ctrl-C while waiting
            self.__exit__()
            raise

    def __exit__(self, *exc_info: object) -> None:
        for turn in self._held:
            turn.release()
        self._live.leave(self._found)


live_sessions = LiveSessions()
"""Those of this process."""
