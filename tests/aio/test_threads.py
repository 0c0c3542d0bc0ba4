"""Waiting for worker threads under every kind of cancellation."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import anyio
import pytest

from adk_extra_sessions.aio.threads import WorkerThreads, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Work:
    """A blocking call that can be watched."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.finished = False

    def __call__(self) -> str:
        time.sleep(self.seconds)
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


async def test_a_cancelled_task_waits_for_the_thread(threads: WorkerThreads) -> None:
    work = Work()
    task = asyncio.ensure_future(settle(threads.run(work)))
    await asyncio.sleep(0.01)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.finished


async def test_a_timeout_waits_for_the_thread(threads: WorkerThreads) -> None:
    work = Work()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(settle(threads.run(work)), timeout=0.01)
    assert work.finished


async def test_an_anyio_scope_waits_for_the_thread_without_spinning(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, waits = Work(0.3), []
    loop = asyncio.get_running_loop()
    create_future = loop.create_future
    monkeypatch.setattr(loop, "create_future", lambda: waits.append(1) or create_future())
    with anyio.move_on_after(0.01) as scope:
        await settle(threads.run(work))
        await anyio.sleep(1)
    assert scope.cancelled_caught and work.finished
    assert len(waits) < 10


async def test_a_cancelled_failure_is_not_reported_as_lost(threads: WorkerThreads) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail() -> None:
        time.sleep(0.03)
        raise ValueError

    task = asyncio.ensure_future(settle(threads.run(fail)))
    await asyncio.sleep(0.01)
    task.cancel()
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_pool_survives_fork(threads: WorkerThreads) -> None:
    async def once() -> str:
        return await settle(threads.run(Work(0)))

    assert asyncio.run(once()) == "done"
    child = os.fork()
    if child == 0:
        os._exit(0 if asyncio.run(once()) == "done" else 1)
    assert os.waitpid(child, 0)[1] == 0
