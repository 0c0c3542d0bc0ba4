"""Worker threads for blocking calls, and waiting for them in a way that no cancellation breaks."""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import anyio

from adk_extra_sessions.forks import reset_after_fork

T = TypeVar("T")


async def settle(future: asyncio.Future[T]) -> T:
    """Waits until a worker thread has finished, even when the caller is cancelled.

    A blocking call cannot be stopped half-way. Were the wait given up, the
    thread would go on writing behind the back of a caller who believes that
    nothing was written. So a cancellation, asyncio's or an anyio scope's, goes
    on only when the outcome is known; the driver's timeouts bound the wait.

    Args:
        future: Completed by the worker thread's work.

    Returns:
        The future's result.

    Raises:
        asyncio.CancelledError: The caller was cancelled meanwhile.
    """
    cancelled: asyncio.CancelledError | None = None
    # Inside a shield, anyio does not cancel again at every turn of the loop.
    with anyio.CancelScope(shield=True):
        while not future.done():
            # What `asyncio.wait` does for many futures, at a third of its cost.
            woken = future.get_loop().create_future()
            future.add_done_callback(partial(_wake, woken))
            try:
                await woken
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        future.exception()  # seen, so that asyncio does not report it as lost
        raise cancelled
    return future.result()


def _wake(waiting: asyncio.Future[None], _: object) -> None:
    if not waiting.done():
        waiting.set_result(None)


_pools: weakref.WeakSet[WorkerThreads] = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    for threads in list(_pools):
        threads.finish()


class WorkerThreads:
    """A pool of threads shared by all event loops; a thread starts when there is a call for it.

    Not anyio's pool: that one belongs to a single event loop, while `Runner.run()`
    makes a new loop for every call, and it is shared with the rest of the application.
    Not a `ThreadPoolExecutor`: that one queues a call before it starts a thread for it,
    so that a call which was refused for lack of a thread is run later all the same, and
    it takes no calls any more once the interpreter exits, when `atexit` handlers still do.
    """

    _workers: _Workers

    def __init__(self, size: int, name: str) -> None:
        """Makes an empty pool.

        Args:
            size: Threads at most.
            name: What the threads' names begin with.
        """
        self._size = size
        self._name = name
        self.after_fork()
        reset_after_fork(self)
        _pools.add(self)

    def __del__(self) -> None:
        """Ends the threads of a pool that was never closed."""
        self._workers.stop()

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Starts a blocking call; await its result through `settle`.

        Raises:
            RuntimeError: There is no thread, and none can be started. The call will not be made.
        """
        return asyncio.wrap_future(self._submit(call))

    def start(self, call: Callable[[], None]) -> None:
        """Starts a blocking call without waiting for its end; raises as `run` does."""
        self._submit(call)

    def unfinished(self) -> list[Future[Any]]:
        """Returns a future for each call made so far that has not ended."""
        return list(self._unfinished)

    def finish(self) -> None:
        """Waits for the calls made so far; the threads stay, since a process about to exit may get no others."""
        wait(self.unfinished())

    def close(self) -> None:
        """Waits for all calls and ends the threads; a later call starts the pool again."""
        with self._lock:
            workers = self._workers
            self._workers = _Workers(self._unfinished)
        workers.stop()
        for thread in workers.threads:
            thread.join()

    def after_fork(self) -> None:
        """Starts again with no threads and no calls."""
        self._lock = threading.Lock()
        self._unfinished: set[Future[Any]] = set()
        self._workers = _Workers(self._unfinished)

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        with self._lock:
            workers = self._workers
            if len(workers.threads) < min(len(self._unfinished) + 1, self._size):
                try:
                    workers.start_thread(f"{self._name}_{len(workers.threads)}")
                except RuntimeError:
                    if not workers.threads:
                        raise
            return workers.submit(call)


class _Workers:
    """The threads of a pool and their calls; they refer to this and not to the pool, which can so be collected."""

    def __init__(self, unfinished: set[Future[Any]]) -> None:
        self.threads: list[threading.Thread] = []
        self._unfinished = unfinished
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def start_thread(self, name: str) -> None:
        # A daemon, so that it is still there for `atexit` handlers; `_finish_all` waits for what it does.
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self.threads.append(thread)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._unfinished.add(future)
        self._calls.put((future, call))
        return future

    def stop(self) -> None:
        """Ends the threads, after the calls that are queued. Takes no lock: the garbage collector may call it."""
        for _ in self.threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (taken := self._calls.get()) is not None:
            self._make(*taken)
            del taken  # not to be held while waiting for the next

    def _make(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            self._unfinished.discard(future)
            return
        try:
            result = call()
        except BaseException as error:
            self._unfinished.discard(future)
            future.set_exception(error)
            del future, call  # the error's traceback holds this frame, and with it what it holds
        else:
            # First, so that whoever gets the result and calls again finds this thread free.
            self._unfinished.discard(future)
            future.set_result(result)
