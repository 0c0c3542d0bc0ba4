"""Group commit: appends that wait at the same moment travel together.

One worker thread takes what has queued up, stores it in as few round trips as
the store can, and wakes every caller with that caller's own outcome. A lone
append is as fast as in a thread of its own; under load the worker replaces a
crowd of threads that would fight for one interpreter.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from attrs import frozen
from opentelemetry.trace import Span

from adk_extra_sessions import telemetry
from adk_extra_sessions.stores.appends import Append
from adk_extra_sessions.stores.base import SessionStore
from adk_extra_sessions.threads import WorkerThreads

logger = logging.getLogger(__name__)

BATCH_APPENDS = 256
"""Appends in one batch at most."""

BATCH_BYTES = 8 << 20
"""Bytes of events after which a batch takes no more of them."""


@frozen(eq=False)
class _Waiting:
    append: Append
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    span: Span | None


class GroupCommit:
    """A queue of appends in front of a store.

    The queue holds no more than references to what suspended callers hold
    anyway; events are encoded batch by batch, so memory stays bounded.
    """

    def __init__(self, store: SessionStore) -> None:
        """Makes an empty queue before `store`; the worker starts with the first append."""
        self._store = store
        self._worker = WorkerThreads(1, "adk-append")
        self._working = False
        self._reset()

    def submit(self, append: Append) -> asyncio.Future[None]:
        """Queues an append; the future is done when its outcome is noted on it and the live session is up to date."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(append, loop, loop.create_future(), telemetry.current())
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            self._queue.append(waiting)
            idle, self._working = not self._working, True
        if idle:
            try:
                self._worker.start(self._work)
            except BaseException as error:  # no thread to be had: nobody may wait for one
                self._fail(error)
        return waiting.done

    def flushed(self) -> asyncio.Future[None]:
        """A future that is done when all appends submitted before it are."""
        return self._worker.run(lambda: None)

    def close(self) -> None:
        """Waits until the queue is empty and ends the worker."""
        self._worker.close()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._working = False

    def _work(self) -> None:
        try:
            while batch := self._take():
                try:
                    with telemetry.together(self._store, [waiting.span for waiting in batch]):
                        self._store._write([waiting.append for waiting in batch])
                except BaseException as error:
                    for waiting in batch:
                        waiting.append.error = waiting.append.error or error
                _wake(batch)
        except BaseException as error:
            logger.error(
                "Appending broke off (%s); all that waited were told, the next append starts anew.",
                type(error).__name__,
            )
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        """Gives all that wait an error, so that the next append starts anew."""
        with self._lock:
            batch, self._working = list(self._queue), False
            self._queue.clear()
        for waiting in batch:
            waiting.append.error = error
        _wake(batch)

    def _take(self) -> list[_Waiting]:
        """Takes the next batch; ends the work, under the lock, when there is none."""
        batch: list[_Waiting] = []
        size = 0
        while len(batch) < BATCH_APPENDS and size < BATCH_BYTES:
            with self._lock:
                if not self._queue:
                    self._working = bool(batch)
                    break
                waiting = self._queue.popleft()
            size += self._store._encode(waiting.append)
            batch.append(waiting)
        return batch


def _wake(batch: Sequence[_Waiting]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, callers in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed, and its callers with it
            loop.call_soon_threadsafe(_complete, callers)


def _complete(batch: Sequence[_Waiting]) -> None:
    """Brings live sessions up to date, in their callers' own thread, and wakes the callers.

    Not left to the callers: one that is cancelled may wake before another
    whose event was stored first, and the live session would be out of order.
    """
    for waiting in batch:
        try:
            waiting.append.commit()
        except Exception as error:
            waiting.append.error = error
        if not waiting.done.done():
            waiting.done.set_result(None)
