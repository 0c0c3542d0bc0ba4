"""Working on a few things at once, in order and in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], things: Iterable[T], jobs: int) -> Iterator[R]:
    """Yields `work(thing)` for each thing, in their order, up to `jobs` of them done at once.

    Work runs in threads of its own, so that Ctrl-C never meets it half-way:
    what has begun is finished, nothing more is begun, and then the exception
    goes on.

    Args:
        work: What to do.
        things: What with; taken one by one, not long before each is worked on. An
            error that ends them is raised after the results of those before it.
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
