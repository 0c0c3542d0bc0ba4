"""Threads that grow in number while that helps."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from types import SimpleNamespace

import pytest
from support.no_threads import no_new_threads
from support.servers import wait_until

from adk_extra_sessions.aio import elastic_threads
from adk_extra_sessions.aio.elastic_threads import ElasticThreads
from adk_extra_sessions.aio.threads import settle

pytestmark = pytest.mark.anyio

SIZE = 8


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def threads() -> Iterator[ElasticThreads]:
    made = ElasticThreads(SIZE, "elastic")
    yield made
    made.close()


async def keep_calling(threads: ElasticThreads, works: Callable[[], None], until: Callable[[], bool]) -> None:
    """Keeps more calls in the queue than there are threads, until a condition holds."""
    deadline = time.monotonic() + 120

    async def call() -> None:
        while not until() and time.monotonic() < deadline:
            await settle(threads.run(works))

    await asyncio.gather(*(call() for _ in range(SIZE * 4)))
    assert until()


async def soon(future: asyncio.Future[int]) -> int:
    """Returns a call's result, or fails; `settle` would wait for ever."""
    await asyncio.wait({future}, timeout=60)
    assert future.done(), "the call never ended"
    return future.result()


async def test_results_errors_and_context_are_the_callers_own(threads: ElasticThreads) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")

    async def caller(number: int) -> str:
        who.set(f"caller {number}")
        return await settle(threads.run(who.get))

    def fails(what: str) -> None:
        raise LookupError(what)

    assert await asyncio.gather(*map(caller, range(50))) == [f"caller {number}" for number in range(50)]
    with pytest.raises(LookupError, match="this one"):
        await settle(threads.run(fails, what="this one"))


async def test_calls_that_wait_for_each_other_all_get_a_thread(threads: ElasticThreads) -> None:
    together = threading.Barrier(SIZE, timeout=60)
    for _ in range(2):
        await asyncio.gather(*(settle(threads.run(together.wait)) for _ in range(SIZE)))
        wait_until(lambda: not threads._watcher.unfinished(), "the queue is watched though it is empty")


async def test_a_call_alone_needs_one_thread_and_a_queue_one_more_to_watch_it(threads: ElasticThreads) -> None:
    def names() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("elastic")}

    begun, free = list[int](), threading.Event()

    def waits() -> None:
        begun.append(1)
        free.wait(60)

    await settle(threads.run(int))
    wait_until(lambda: not threads._working, "the thread works without a call")
    assert names() == {"elastic_0"}
    held = [threads.run(waits) for _ in range(SIZE * 2)]
    assert len(threads._watcher.unfinished()) == 1
    wait_until(lambda: len(begun) == SIZE, "some have no thread")
    time.sleep(5 * elastic_threads.MOMENT)
    assert len(threads.unfinished()) == len(held)  # one for each working thread, one for each call in the queue
    free.set()
    await asyncio.gather(*held)
    threads.close()
    assert names() == set()


async def test_whatever_a_call_raises_comes_back_and_the_pool_goes_on(threads: ElasticThreads) -> None:
    class Panic(BaseException):
        """As pydantic's core raises it."""

    def panics() -> None:
        raise Panic

    with pytest.raises(Panic):
        await soon(threads.run(panics))
    assert await soon(threads.run(int)) == 0


async def test_there_are_never_more_threads_than_allowed(threads: ElasticThreads) -> None:
    met: set[str] = set()

    def waits() -> None:
        met.add(threading.current_thread().name)
        time.sleep(0.02)

    await asyncio.gather(*(settle(threads.run(waits)) for _ in range(SIZE * 8)))
    assert 1 < len(met) <= SIZE


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_one_slow_call_holds_up_no_others(
    threads: ElasticThreads, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    if busy:
        monkeypatch.setattr(elastic_threads.time, "process_time", time.monotonic)
    free = threading.Event()
    slow = asyncio.ensure_future(settle(threads.run(free.wait, 60)))
    assert await asyncio.gather(*(settle(threads.run(int, number)) for number in range(100))) == list(range(100))
    assert not slow.done()
    free.set()
    assert await slow


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_calls_that_end_soon_get_more_threads_unless_the_interpreter_is_busy(
    threads: ElasticThreads, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    calls, at_once, most, lock = 1000, 0, 0, threading.Lock()

    def works() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.001)
        with lock:
            at_once -= 1

    def until_a_call_has_ended(seconds: float) -> None:
        before = threads._finished
        time.sleep(seconds)
        wait_until(lambda: threads._finished != before or before == calls, "no call ends")

    if busy:
        clock = {"monotonic": count().__next__, "process_time": count().__next__}  # of which all is used
        monkeypatch.setattr(elastic_threads, "time", SimpleNamespace(**clock, sleep=until_a_call_has_ended))
        monkeypatch.setattr(elastic_threads, "MUCH", 2.0)
        await asyncio.gather(*(settle(threads.run(works)) for _ in range(calls)))
        assert most == 1
    else:
        monkeypatch.setattr(elastic_threads.time, "process_time", lambda: 0.0)
        await keep_calling(threads, works, until=lambda: most > SIZE // 2)


async def test_threads_too_many_end(threads: ElasticThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic_threads.time, "process_time", time.monotonic)
    together = threading.Barrier(SIZE, timeout=60)
    first = [asyncio.ensure_future(settle(threads.run(together.wait))) for _ in range(SIZE)]
    late: list[int] = []

    def works() -> None:
        late.append(threads._working)
        time.sleep(0.002)

    await keep_calling(threads, works, until=lambda: bool(late) and late[-1] < SIZE)
    await asyncio.gather(*first)
    threads.close()
    assert threads._working == 0


async def test_a_thread_too_many_that_ends_anyway_ends_no_other(threads: ElasticThreads) -> None:
    begun, free = threading.Event(), threading.Event()

    def works() -> None:
        begun.set()
        free.wait(60)

    last = threads.run(works)
    assert begun.wait(60)
    threads._surplus = True  # as the watcher notes it, just before the queue is empty
    free.set()
    await settle(last)
    assert await soon(threads.run(int)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
async def test_without_a_thread_nobody_waits_for_one(threads: ElasticThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    with no_new_threads():
        for _ in range(SIZE + 2):
            with pytest.raises(RuntimeError, match="new thread"):
                await asyncio.wait_for(settle(threads.run(made.append, 1)), 60)
    assert await asyncio.wait_for(settle(threads.run(int)), 60) == 0
    # As quick as before, and with as many threads; what was refused is not made after all.
    with monkeypatch.context() as patch:
        patch.setattr(elastic_threads, "MOMENT", 1.0)  # a call does not wait for who watches the queue
        began = time.monotonic()
        for _ in range(200):
            await settle(threads.run(int))
        assert time.monotonic() - began < 100
    together = threading.Barrier(SIZE, timeout=60)
    await asyncio.gather(*(settle(threads.run(together.wait)) for _ in range(SIZE)))
    assert made == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
async def test_threads_that_are_there_go_on_when_no_more_can_start(threads: ElasticThreads) -> None:
    assert await settle(threads.run(int)) == 0
    with no_new_threads():
        calls = (settle(threads.run(time.sleep, 0.005)) for _ in range(40))
        await asyncio.wait_for(asyncio.gather(*calls), timeout=60)
    together = threading.Barrier(SIZE, timeout=60)
    await asyncio.gather(*(settle(threads.run(together.wait)) for _ in range(SIZE)))


async def test_a_call_not_begun_can_be_cancelled(threads: ElasticThreads) -> None:
    free = threading.Event()
    begun: list[int] = []
    running = [asyncio.ensure_future(settle(threads.run(free.wait, 60))) for _ in range(SIZE)]
    queued = threads.run(begun.append, 1)
    queued.cancel()
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*running)
    await settle(threads.run(int))
    assert begun == []


def test_loops_come_and_go(threads: ElasticThreads) -> None:
    async def some() -> list[int]:
        return await asyncio.gather(*(settle(threads.run(int, number)) for number in range(20)))

    for _ in range(3):
        assert asyncio.run(some()) == list(range(20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_starts_with_no_threads_and_no_queue(threads: ElasticThreads) -> None:
    free = threading.Event()

    async def held() -> None:
        await asyncio.gather(*(settle(threads.run(free.wait, 60)) for _ in range(SIZE + 5)))

    async def one() -> int:
        return await asyncio.wait_for(settle(threads.run(int, 7)), 60)

    parent = threading.Thread(target=asyncio.run, args=(held(),))
    parent.start()
    while not threads._queue:
        time.sleep(0.001)
    pid = os.fork()
    if not pid:
        os._exit(0 if asyncio.run(one()) == 7 else 1)
    free.set()
    parent.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
