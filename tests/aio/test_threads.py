"""Waiting for worker threads under every kind of cancellation."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from functools import partial

import anyio
import pytest
from support.no_threads import no_new_threads
from support.processes import check_in_a_child
from support.servers import wait_until

from adk_extra_sessions.aio.threads import WorkerThreads, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Work:
    """A blocking call that can be watched, and held up."""

    def __init__(self, *, held: bool = False) -> None:
        self.finished = False
        self.free = threading.Event()
        if not held:
            self.free.set()

    def __call__(self) -> str:
        assert self.free.wait(60)
        self.finished = True
        return "done"


@pytest.fixture
def threads() -> WorkerThreads:
    return WorkerThreads(2, "test")


async def test_the_result_comes_back(threads: WorkerThreads) -> None:
    assert await settle(threads.run(Work())) == "done"


async def test_an_error_comes_back(threads: WorkerThreads) -> None:
    with pytest.raises(ZeroDivisionError):
        await settle(threads.run(lambda: 1 // 0))


async def test_whatever_a_call_raises_comes_back_and_the_pool_goes_on(threads: WorkerThreads) -> None:
    class Panic(BaseException):
        """As pydantic's core raises it."""

    def panics() -> None:
        raise Panic

    future = threads.run(panics)
    await asyncio.wait({future}, timeout=60)
    with pytest.raises(Panic):
        future.result()
    assert threads.unfinished() == []
    assert await settle(threads.run(Work())) == "done"


async def test_a_call_not_begun_can_be_cancelled(threads: WorkerThreads) -> None:
    free = threading.Event()
    begun: list[int] = []
    held = [threads.run(lambda: free.wait(60)) for _ in range(2)]
    threads.run(lambda: begun.append(1)).cancel()
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*held)
    wait_until(lambda: not threads.unfinished(), "the cancelled call is kept")
    assert begun == []


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "fails"])
def test_a_thread_without_a_call_holds_nothing_of_the_last_one(threads: WorkerThreads, fails: bool) -> None:
    work = Work()
    held = weakref.ref(work)

    def call(work: Work) -> None:
        if fails:
            raise ValueError

    gc.disable()  # at once, and not when it comes
    try:
        threads.start(partial(call, work))
        del work
        wait_until(lambda: held() is None, "it is held", timeout=60)
    finally:
        gc.enable()


async def test_a_cancelled_task_waits_for_the_thread(threads: WorkerThreads) -> None:
    work = Work(held=True)
    task = asyncio.ensure_future(settle(threads.run(work)))
    await asyncio.sleep(0.01)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    work.free.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.finished


async def test_a_timeout_waits_for_the_thread(threads: WorkerThreads) -> None:
    work = Work(held=True)
    task = asyncio.ensure_future(asyncio.wait_for(settle(threads.run(work)), timeout=0.01))
    await asyncio.sleep(0.05)
    assert not task.done()
    work.free.set()
    with pytest.raises(asyncio.TimeoutError):
        await task
    assert work.finished


async def test_an_anyio_scope_waits_for_the_thread_without_spinning(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, waits = Work(held=True), []
    loop = asyncio.get_running_loop()
    create_future = loop.create_future
    monkeypatch.setattr(loop, "create_future", lambda: waits.append(1) or create_future())
    loop.call_later(0.3, work.free.set)
    with anyio.move_on_after(0.01) as scope:
        await settle(threads.run(work))
        await anyio.sleep(1)
    assert scope.cancelled_caught and work.finished
    assert len(waits) < 10


async def test_a_cancelled_failure_is_not_reported_as_lost(threads: WorkerThreads) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    free = threading.Event()

    def fail() -> None:
        assert free.wait(60)
        raise ValueError

    task = asyncio.ensure_future(settle(threads.run(fail)))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0)
    free.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await asyncio.sleep(0)
    gc.collect()
    assert reported == []


async def test_a_pool_has_no_more_threads_than_its_size(threads: WorkerThreads) -> None:
    seen: set[int] = set()
    await asyncio.gather(*(settle(threads.run(lambda: seen.add(threading.get_ident()))) for _ in range(50)))
    assert len(seen) <= 2


async def test_calls_one_after_the_other_need_one_thread() -> None:
    threads = WorkerThreads(2, "alone")
    for _ in range(50):
        await settle(threads.run(int))
    assert [one.name for one in threading.enumerate() if one.name.startswith("alone")] == ["alone_0"]
    threads.close()


def test_callers_in_many_threads_start_no_more_than_the_size() -> None:
    threads = WorkerThreads(2, "crowd")
    free, together = threading.Event(), threading.Barrier(8, timeout=60)

    def start() -> None:
        together.wait()
        threads.start(partial(free.wait, 60))

    callers = [threading.Thread(target=start) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len([one for one in threading.enumerate() if one.name.startswith("crowd")]) == 2
    free.set()
    threads.close()


def test_a_call_waits_for_none_of_those_that_closing_waits_for() -> None:
    threads = WorkerThreads(1, "closing")
    free, made = threading.Event(), threading.Event()
    threads.start(partial(free.wait, 60))
    before = threads._workers
    closing = threading.Thread(target=threads.close)
    closing.start()
    wait_until(lambda: threads._workers is not before, "the closing does not begin")
    threads.start(made.set)
    assert made.wait(20) and closing.is_alive()
    free.set()
    closing.join()
    threads.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
async def test_a_call_waits_for_a_thread_that_is_there_if_no_other_can_start(threads: WorkerThreads) -> None:
    free = threading.Event()
    held = threads.run(lambda: free.wait(60))
    with no_new_threads():
        queued = threads.run(int)
    free.set()
    assert await settle(held) and await settle(queued) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_pool_survives_fork(threads: WorkerThreads) -> None:
    async def once() -> str:
        return await settle(threads.run(Work()))

    assert asyncio.run(once()) == "done"
    check_in_a_child(lambda: asyncio.run(once()) == "done")


def test_the_threads_of_a_pool_that_nobody_uses_any_more_end() -> None:
    threads = WorkerThreads(2, "unused")
    threads.start(int)
    del threads
    gc.collect()
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("unused")], "a thread is left")
