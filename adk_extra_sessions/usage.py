"""Whether a store is closed, and what is under way on it: its client is closed only after that has ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from adk_extra_sessions.errors import ClosedError
from adk_extra_sessions.forks import reset_after_fork

LONGEST = 60.0
"""Seconds that closing waits at most: longer than a call takes with the drivers' default timeouts."""


@define(eq=False)
class Usage:
    """The operations that threads carry out on a store at the moment.

    Attributes:
        what: What is used, in the error of whoever uses it too late.
        closed: Whether it takes no more operations.
    """

    what: str
    closed: bool = False
    _threads: Counter[int] = field(init=False, repr=False)
    _changed: threading.Condition = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Forgets the operations of the parent's threads."""
        self._threads = Counter()
        self._changed = threading.Condition()

    def check_open(self) -> None:
        """Raises `ClosedError` if it is closed."""
        if self.closed:
            raise ClosedError(f"This {self.what} is closed: create a new one.")

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Refuses an operation if it is closed; otherwise keeps it from being closed meanwhile."""
        thread, counted = threading.get_ident(), False
        try:
            with self._changed:
                self.check_open()
                self._threads[thread] += 1
                counted = True
            yield
        finally:  # also after Ctrl-C in between
            if counted:
                self._ended(thread)

    def _ended(self, thread: int) -> None:
        with self._changed:
            self._threads[thread] -= 1
            if self._threads[thread] <= 0:
                del self._threads[thread]
            if self.closed:
                self._changed.notify_all()

    def close(self) -> None:
        """Refuses operations from now on, and waits for those of other threads, a minute at most."""
        own = threading.get_ident()  # a signal's handler may close what the thread uses
        with self._changed:
            self.closed = True
            self._changed.wait_for(lambda: not self._threads.keys() - {own}, LONGEST)
