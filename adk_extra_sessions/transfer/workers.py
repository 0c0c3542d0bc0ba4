"""Works on a few things at once, in order and in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], things: Iterable[T], jobs: int) -> Iterator[R]:
    """Yields `work(thing)` for each thing, in their order, with up to `jobs` at the same time.

    The work runs in threads, so that Ctrl-C never interrupts it half-way: what has
    been started is finished, nothing more is started, and then the exception is raised.

    Args:
        work: Called with each thing.
        things: Read one by one, shortly before each is needed. If reading them raises
            an error, it is raised after the results of those before it.
        jobs: How many threads.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="adk-transfer")
    coming, ended = iter(things), None
    try:
        while ended is None:
            try:
                waiting.append(pool.submit(work, next(coming)))
            except StopIteration:
                break
            except Exception as error:
                ended = error
            if len(waiting) > 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if ended is not None:
            raise ended
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
