"""Shows progress on standard error: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from typing_extensions import Self

from adk_extra_sessions.cli.main import INTERRUPTED
from adk_extra_sessions.cli.output import console

EVERY = 10.0
"""Seconds between plain lines."""


class Work:
    """Shows the progress of long work; use it in a `with` statement.

    Attributes:
        done: How many steps have been completed.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        """Starts the clock.

        Args:
            what: The work, in a word or two.
            total: How many steps it has; None if that is not known.
        """
        self._what = what
        self._total = total
        self.done = 0
        self._start = self._shown = time.monotonic()
        self._before: Any = None
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
            times = [TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn()]
            self._bar = Progress(*columns, *times, console=console(stderr=True), transient=True)
            self._task = self._bar.add_task(what, total=total, rate="")

    def step(self) -> None:
        """Counts one more step."""
        self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """Sets how many steps are done."""
        self.done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rate=f"{self._rate():,.0f}/s")
        elif time.monotonic() - self._shown > EVERY:
            self._shown = time.monotonic()
            of = "" if self._total is None else f" of {self._total:,}"
            self.say(f"{self._what}: {self.done:,}{of}, {self._rate():,.0f}/s")

    def say(self, text: str) -> None:
        """Writes a line, above the bar if there is one."""
        (self._bar.console if self._bar is not None else console(stderr=True)).print(text)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hides the bar while lines are written to standard output, which may be the same terminal."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def pace(self) -> str:
        """Returns the time taken and the steps per second, as text."""
        return f"{time.monotonic() - self._start:,.1f} s, {self._rate():,.0f}/s"

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, *_: object) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        self.say("Finishing the sessions in progress; press Ctrl-C again to stop at once.")
        raise KeyboardInterrupt

    def _rate(self) -> float:
        return self.done / max(time.monotonic() - self._start, 0.001)
