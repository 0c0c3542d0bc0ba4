"""Group commit: appends that wait at the same moment travel together.

One worker thread takes what has queued up, stores it in as few round trips as
the store can, and wakes every caller with that caller's own outcome. A lone
append is as fast as in a thread of its own; under load the worker replaces a
crowd of threads that would fight for one interpreter.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from attrs import frozen
from opentelemetry.trace import Span

from adk_extra_sessions import telemetry
from adk_extra_sessions.aio.threads import WorkerThreads, finish_at_exit
from adk_extra_sessions.appends import Append, own_error
from adk_extra_sessions.forks import make_anew
from adk_extra_sessions.store import SessionStore

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
        self.after_fork()
        make_anew(self)
        finish_at_exit(self)

    def submit(self, append: Append) -> asyncio.Future[None]:
        """Queues an append; the future is done when its outcome is noted on it and the live session is up to date."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(append, loop, loop.create_future(), telemetry.current())
        with self._lock:
            self._queue.append(waiting)
            idle, self._working = not self._working, True
        if idle:
            self._start_batch()
        return waiting.done

    def flushed(self) -> asyncio.Future[None]:
        """A future that is done when all appends submitted before it have their outcomes."""
        return asyncio.wrap_future(self._flushed())

    def finish(self) -> None:
        """Waits until all appends submitted before have their outcomes."""
        self._flushed().result()

    def close(self) -> None:
        """Waits as `finish` does and ends the worker; a later append starts it again."""
        self.finish()
        self._worker.close()

    def after_fork(self) -> None:
        """Starts again with an empty queue: what is queued is the parent's to store."""
        self._lock = threading.Lock()
        self._queue: deque[_Waiting | Future[None]] = deque()
        self._handed: list[deque[_Waiting]] = []
        self._working = False

    def _flushed(self) -> Future[None]:
        reached: Future[None] = Future()
        with self._lock:
            if self._working:
                self._queue.append(reached)
                return reached
            self._commit_for_closed_loops()
        reached.set_result(None)
        return reached

    def _start_batch(self) -> None:
        try:
            self._worker.start(self._store_batch)
        except BaseException as error:  # no thread to be had: nobody may wait for one
            self._refuse_all(error)
            if not isinstance(error, Exception):
                raise

    def _store_batch(self) -> None:
        """Stores one batch, and has the next one stored; so each one's data goes with its own call."""
        batch: list[_Waiting] = []
        flushes: list[Future[None]] = []
        try:
            self._take(batch, flushes)
            if batch:
                with telemetry.together(self._store.backend, [waiting.span for waiting in batch]):
                    self._store.writer.write([waiting.append for waiting in batch])
        except BaseException as error:
            _refuse(batch, error)
            if not batch:  # nothing was taken, and the next try would not take anything either
                logger.error(
                    "The worker for appends failed (%s); all waiting callers got the error.", type(error).__name__
                )
                self._refuse_all(error)
        self._wake(batch)
        _reach(flushes)
        with self._lock:
            self._working = bool(self._queue)
            more = self._working
        if more:
            self._start_batch()

    def _take(self, batch: list[_Waiting], flushes: list[Future[None]]) -> None:
        """Takes the next batch, and the flushes that wait for it, out of the queue."""
        size = 0
        while len(batch) < BATCH_APPENDS and size < BATCH_BYTES:
            with self._lock:
                if not self._queue:
                    return
                taken = self._queue.popleft()
            if isinstance(taken, Future):
                flushes.append(taken)
            else:
                batch.append(taken)
                size += self._store.writer.encode(taken.append)

    def _refuse_all(self, error: BaseException) -> None:
        """Gives all that wait an error, so that the next append starts anew."""
        with self._lock:
            queue, self._working = list(self._queue), False
            self._queue.clear()
        batch = [taken for taken in queue if isinstance(taken, _Waiting)]
        _refuse(batch, error)
        self._wake(batch)
        _reach([taken for taken in queue if isinstance(taken, Future)])

    def _wake(self, batch: Sequence[_Waiting]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, deque[_Waiting]] = {}
        for waiting in batch:
            by_loop.setdefault(waiting.loop, deque()).append(waiting)
        with self._lock:
            self._commit_for_closed_loops()
            self._handed += by_loop.values()
        for loop, callers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_complete, callers)
            except RuntimeError:  # the loop is closed
                with self._lock:
                    self._commit_for_closed_loops()

    def _commit_for_closed_loops(self) -> None:
        """Commits what loops did not come to before they were closed: callers are gone, their sessions may be not."""
        for callers in self._handed:
            if callers and callers[0].loop.is_closed():
                while callers:
                    callers.popleft().append.commit()
        self._handed = [callers for callers in self._handed if callers]


def _refuse(batch: Sequence[_Waiting], error: BaseException) -> None:
    for waiting in batch:
        if waiting.append.error is None and waiting.append.marker is None:
            waiting.append.error = own_error(error)


def _reach(flushes: Sequence[Future[None]]) -> None:
    for flush in flushes:
        if flush.set_running_or_notify_cancel():
            flush.set_result(None)


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
