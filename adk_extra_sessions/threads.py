"""Worker threads for blocking calls, and waiting for them in a way that no cancellation breaks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

import anyio

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


class WorkerThreads:
    """A pool of threads of its own, shared by all event loops, started when first used.

    Not anyio's pool: that one belongs to a single event loop, while `Runner.run()`
    makes a new loop for every call, and it is shared with the rest of the application.
    """

    def __init__(self, size: int, name: str) -> None:
        """Makes an empty pool.

        Args:
            size: Threads at most.
            name: What the threads' names begin with.
        """
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def run(self, call: Callable[..., T], *arguments: Any, **named: Any) -> asyncio.Future[T]:
        """Starts a blocking call in the caller's context; await its result through `settle`."""
        return asyncio.wrap_future(self._submit(partial(copy_context().run, call, *arguments, **named)))

    def start(self, call: Callable[[], None]) -> None:
        """Starts a blocking call whose end nobody waits for."""
        self._submit(call)

    def close(self) -> None:
        """Waits for all calls; a later one starts the pool again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.shutdown(wait=True)

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if self._pid != os.getpid():  # a fork takes no threads along, but maybe a held lock
            self._lock = threading.Lock()
            self._pid, self._pool = os.getpid(), None
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._size, thread_name_prefix=self._name)
            return self._pool.submit(call)
