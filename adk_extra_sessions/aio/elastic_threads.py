"""Worker threads, as many as are useful.

Reading is mostly decoding: threads that decode at the same time only take the
interpreter from each other. But calls that wait for a server should wait at the
same time. So there is one thread, and more only while calls are queued and
either none has ended for a moment or the process has little to do.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from adk_extra_sessions.aio.threads import WorkerThreads
from adk_extra_sessions.forks import reset_after_fork

T = TypeVar("T")

MOMENT = 0.01
"""Seconds between two looks at the queue, while there is one: many small reads, a fraction of a slow one."""

LITTLE = 0.5
"""Share of a processor that the process uses, below which another thread is started."""

MUCH = 0.9
"""Share from which on a thread too many ends."""


class ElasticThreads:
    """A pool whose threads grow in number while that lets more calls be finished."""

    _working: int
    _finished: int
    _surplus: bool
    _watched: bool

    def __init__(self, size: int, name: str) -> None:
        """Makes an empty pool.

        Args:
            size: Threads at most.
            name: What the threads' names begin with.
        """
        self._size = size
        self._threads = WorkerThreads(size, name)
        self._watcher = WorkerThreads(1, f"{name}-watch")
        self.after_fork()
        reset_after_fork(self)

    def run(self, call: Callable[..., T], *arguments: Any, **named: Any) -> asyncio.Future[T]:
        """Queues a blocking call in the caller's context; await its result through `settle`."""
        future: Future[T] = Future()
        work = partial(copy_context().run, call, *arguments, **named)
        with self._lock:
            self._queue.append((future, work))
            first = not self._working
            if first:
                self._working = 1
            unwatched = not first and not self._watched
            if unwatched:
                self._watched = True
        if first:
            self._start_working()
        if unwatched:
            self._start_watching()
        return asyncio.wrap_future(future)

    def unfinished(self) -> list[Future[Any]]:
        """Returns a future for each call in the queue, and for each thread that works."""
        with self._lock:
            return [*(future for future, _ in self._queue), *self._threads.unfinished()]

    def close(self) -> None:
        """Waits for all calls; a later one starts the pool again."""
        self._watcher.close()
        self._threads.close()

    def after_fork(self) -> None:
        """Starts again with no threads and no calls."""
        self._lock = threading.Lock()
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._working = self._finished = 0
        self._surplus = self._watched = False

    def _start_working(self) -> None:
        try:
            self._threads.start(self._work)
        except RuntimeError as error:  # there is no thread, and none can be started
            with self._lock:
                self._working -= 1
                left = [*self._queue]
                self._queue.clear()
            for future, _ in left:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)

    def _start_watching(self) -> None:
        try:
            self._watcher.start(self._watch)
        except RuntimeError:  # no thread can be started: the others go on
            self._watched = False

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            future, work = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            self._finished += 1

    def _take(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """Takes the next call; ends the thread's work, under the lock, when there is none or it is one too many."""
        with self._lock:
            if self._queue and not self._surplus:
                return self._queue.popleft()
            self._working -= 1
            self._surplus = False
            return None

    def _watch(self) -> None:
        while True:
            began, busy, finished = time.monotonic(), time.process_time(), self._finished
            time.sleep(MOMENT)
            share = (time.process_time() - busy) / (time.monotonic() - began)
            with self._lock:
                if not self._queue:
                    self._watched = False
                    return
                stuck = self._finished == finished
                more = (stuck or share < LITTLE) and self._working < self._size
                if more:
                    self._working += 1
                self._surplus = not stuck and share > MUCH and self._working > 1
            if more:
                self._start_working()
