"""Live sessions while their events are stored: whoever stores them, they come into the session in the order stored.

One live session may be used by several event loops, threads, services and
stores at once. So what is under way on it is known to the whole process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from google.adk.sessions import Session

from adk_extra_sessions.adk_private import storage_marker
from adk_extra_sessions.forks import make_anew

if TYPE_CHECKING:
    from adk_extra_sessions.stores.appends import Append


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

    @contextmanager
    def storing(self, sessions: Sequence[Session]) -> Iterator[None]:
        """Waits for those who store events of any of `sessions`, and keeps others waiting."""
        with self._lock:
            # Everybody takes turns in the same order, so that nobody waits for each other.
            found = {key: self._under_way.setdefault(key, _UnderWay()) for key in sorted(map(id, sessions))}
            for one in found.values():
                one.writers += 1
        try:
            with ExitStack() as stack:
                for one in found.values():
                    stack.enter_context(one.turn)
                yield
        finally:
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


live_sessions = LiveSessions()
"""Those of this process."""
