"""Keeps the order of events in a live session while several threads store events of it.

A live session is a `Session` object that a caller holds, unlike the stored
session. Several event loops, threads, services and stores may use one at the
same time. Their events are added to it in the order in which they are stored.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol
from weakref import WeakValueDictionary

from attrs import define, field
from google.adk.sessions import Session

from adk_extra_sessions.adk.private import storage_marker
from adk_extra_sessions.forks import reset_after_fork


class StoredChange(Protocol):
    """A change of a live session that is in storage and not yet in the session.

    Attributes:
        session: The live session.
        marker: The session's storage marker after the change.
        order: Where the change waits to come into the session; None once it has.
    """

    session: Session
    marker: str | None
    order: WriteOrder | None

    def change_session(self) -> None:
        """Makes the change; called again if it was interrupted, maybe when it was made already."""


@define(eq=False)
class WriteOrder:
    """The order in which changes come into one live session.

    Attributes:
        session: The session; kept here so that no other object gets its id meanwhile.
        lock: Held while changes are stored. Reentrant, so that releasing it fails in a thread that does not hold it.
        stored: Changes that are stored and not yet in the session, in the order stored.
    """

    session: Session
    lock: Any = field(factory=threading.RLock)
    stored: deque[StoredChange] = field(factory=deque)


class LiveSessions:
    """The write orders of all live sessions to which something is being appended."""

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forgets what the parent's threads were storing."""
        self._lock = threading.Lock()
        # Weak: an order is removed with the last writer or change that refers to it, also after an error.
        self._orders: WeakValueDictionary[int, WriteOrder] = WeakValueDictionary()

    def storing(self, sessions: Sequence[Session]) -> AbstractContextManager[None]:
        """Waits until nobody else stores changes of any of `sessions`, and makes others wait."""
        return _Storing(self, sessions)

    def orders(self, sessions: Sequence[Session]) -> list[WriteOrder]:
        """Returns the order of each session, once, sorted so that no two writers wait for each other."""
        found = {}
        with self._lock:
            for session in sessions:
                found[id(session)] = self._order(session)
        return [found[key] for key in sorted(found)]

    def marker(self, session: Session) -> str | None:
        """Returns the marker that a session will have once everything stored is in it."""
        with self._lock:
            stored = self._order(session).stored
            return stored[-1].marker if stored else storage_marker(session)

    def add(self, change: StoredChange) -> None:
        """Notes that a change is stored. To be called inside `storing`."""
        with self._lock:
            change.order = self._order(change.session)
            change.order.stored.append(change)

    def commit(self, change: StoredChange) -> None:
        """Brings a live session up to date, up to and including a change that is stored."""
        order = change.order
        if order is None:
            return
        with self._lock:
            while order.stored and change.order is not None:
                first = order.stored[0]
                first.change_session()
                # Removed only after that: interrupted by Ctrl-C, it is done again.
                order.stored.popleft()
                first.order = None

    def _order(self, session: Session) -> WriteOrder:
        found = self._orders.get(id(session))
        if found is None:
            found = self._orders[id(session)] = WriteOrder(session)
        return found


class _Storing:
    """Holds the locks of some live sessions. A class, since it is faster than a generator."""

    __slots__ = ("_live", "_orders", "_sessions")

    def __init__(self, live: LiveSessions, sessions: Sequence[Session]) -> None:
        self._live = live
        self._sessions = sessions
        self._orders: list[WriteOrder] = []

    def __enter__(self) -> None:
        self._orders = self._live.orders(self._sessions)
        try:
            for order in self._orders:
                order.lock.acquire()
        except BaseException:  # Ctrl-C while waiting
            self.__exit__()
            raise

    def __exit__(self, *exc_info: object) -> None:
        for order in self._orders:
            with suppress(RuntimeError):  # not held by this thread
                order.lock.release()


live_sessions = LiveSessions()
"""Those of this process."""
