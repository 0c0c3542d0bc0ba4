"""Group commit: concurrent appends are stored together.

One worker thread takes what is in the queue, stores it in as few round trips
as the store can, and gives each caller that caller's own outcome. A single
append is as fast as in a thread of its own; under load one worker replaces
many threads that would compete for the interpreter.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from attrs import frozen
from opentelemetry.trace import Span

from adk_extra_sessions import telemetry
from adk_extra_sessions.aio.threads import WorkerThreads
from adk_extra_sessions.appends import Append, own_error
from adk_extra_sessions.forks import reset_after_fork
from adk_extra_sessions.store import SessionStore

logger = logging.getLogger(__name__)

BATCH_APPENDS = 256
"""Appends in one batch at most."""

BATCH_BYTES = 8 << 20
"""Bytes of events after which a batch takes no more of them."""


@frozen(eq=False)
class _Waiting:
    """An append whose caller waits for its outcome."""

    append: Append
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    span: Span | None


class GroupCommit:
    """A queue of appends in front of a store.

    The queue only refers to what suspended callers hold anyway; events are
    encoded batch by batch, so memory stays bounded.
    """

    def __init__(self, store: SessionStore) -> None:
        """Makes an empty queue in front of `store`; the worker starts with the first append."""
        self._store = store
        self._worker = WorkerThreads(1, "adk-append")
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Starts again with an empty queue: what is in it is the parent's to store."""
        self._queue: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._handed: list[deque[_Waiting]] = []

    def submit(self, append: Append) -> asyncio.Future[None]:
        """Queues an append.

        Returns:
            A future that is done when the append has its outcome and the live session is up to date.

        Raises:
            RuntimeError: There is no thread, and none can be started. Nothing was written.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(append, loop, loop.create_future(), telemetry.current())
        self._queue.append(waiting)
        try:
            # One call for each append, though a batch has many: so no call need know of the others.
            self._worker.start(self._store_batch)
        except RuntimeError:
            with self._lock:
                if waiting in self._queue:
                    self._queue.remove(waiting)
                    raise
        return waiting.done

    def unfinished(self) -> list[Future[Any]]:
        """Returns a future for each append that has no outcome."""
        return self._worker.unfinished()

    def flushed(self) -> asyncio.Future[Any]:
        """Returns a future that is done when all appends submitted so far have their outcomes."""
        self._commit_for_closed_loops()
        return asyncio.gather(*map(asyncio.wrap_future, self._worker.unfinished()))

    def finish(self) -> None:
        """Waits until all appends submitted so far have their outcomes."""
        self._worker.finish()
        self._commit_for_closed_loops()

    def close(self) -> None:
        """Waits as `finish` does and ends the worker; a later append starts it again."""
        self.finish()
        self._worker.close()

    def _store_batch(self) -> None:
        """Stores what is in the queue, or as much of it as a batch takes."""
        if not self._queue:  # an earlier batch had room for it
            return
        batch: list[_Waiting] = []
        try:
            self._take(batch)
            with telemetry.together(self._store.backend, [waiting.span for waiting in batch]):
                self._store.writer.write([waiting.append for waiting in batch])
        except BaseException as error:
            if not batch:  # the next try would not get any further
                logger.error(
                    "The worker for appends failed (%s); all waiting callers got the error.", type(error).__name__
                )
                while self._queue:
                    batch.append(self._queue.popleft())
            _refuse(batch, error)
        self._wake(batch)

    def _take(self, batch: list[_Waiting]) -> None:
        """Moves appends from the queue to `batch`."""
        size = 0
        while len(batch) < BATCH_APPENDS and size < BATCH_BYTES:
            with self._lock:
                if not self._queue:
                    return
                batch.append(self._queue.popleft())
            size += self._store.writer.encode(batch[-1].append)

    def _wake(self, batch: Sequence[_Waiting]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, deque[_Waiting]] = {}
        for waiting in batch:
            by_loop.setdefault(waiting.loop, deque()).append(waiting)
        with self._lock:
            self._handed += by_loop.values()
        for loop, callers in by_loop.items():
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_complete, callers)
        self._commit_for_closed_loops()

    def _commit_for_closed_loops(self) -> None:
        """Commits what loops did not get to before they were closed: callers are gone, their sessions may be in use."""
        with self._lock:
            for callers in self._handed:
                if callers and callers[0].loop.is_closed():
                    while callers:
                        callers.popleft().append.commit()
            self._handed = [callers for callers in self._handed if callers]


def _refuse(batch: Sequence[_Waiting], error: BaseException) -> None:
    for waiting in batch:
        if waiting.append.error is None and waiting.append.marker is None:
            waiting.append.error = own_error(error)


def _complete(batch: deque[_Waiting]) -> None:
    """Brings live sessions up to date, in their callers' own thread, and wakes the callers.

    Not left to the callers: one that is cancelled may wake before another
    whose event was stored first, and the live session would be out of order.
    """
    try:
        while batch:
            waiting = batch[0]
            waiting.append.commit()
            if not waiting.done.done():
                waiting.done.set_result(None)
            batch.popleft()
    finally:
        if batch:  # Ctrl-C: the loop goes on, to cancel its tasks, and they wait for this
            batch[0].loop.call_soon(_complete, batch)
