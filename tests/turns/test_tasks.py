"""Turns of tasks and event loops."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import AsyncGenerator
from typing import Any

import pymongo
import pytest
from support.servers import wait_until
from support.turns import KEY, NAMES, refused_elsewhere

from adk_extra_sessions import (
    InputValidationError,
    SessionBusyError,
)

pytestmark = pytest.mark.anyio


async def test_tasks_of_one_loop_take_turns(service: Any) -> None:
    inside: list[int] = []
    most = 0

    async def run(number: int) -> None:
        nonlocal most
        async with service.turn(**NAMES):
            inside.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(0.01)
            inside.remove(number)

    await asyncio.gather(*map(run, range(8)))
    assert most == 1


async def test_a_cancelled_waiter_leaves_and_a_cancelled_holder_gives_back(service: Any) -> None:
    async with service.turn(**NAMES):
        waiting = asyncio.create_task(_hold(service, 0))
        await asyncio.sleep(0.3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    holding = asyncio.create_task(_hold(service, 60))
    await asyncio.sleep(0.3)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    async with service.turn(**NAMES, wait=0):
        pass


async def test_a_run_that_is_given_up_inside_another_call_gives_the_turn_back(service: Any) -> None:
    """As the garbage collector does it, for one that nobody listens to any more: inside whatever it interrupts."""

    async def run() -> AsyncGenerator[None, None]:
        async with service.turn(**NAMES):
            yield

    running = run()
    await anext(running)
    with pymongo.timeout(0.001):  # somebody's call, whose time is over
        time.sleep(0.01)
        ending = asyncio.create_task(running.aclose())
    await ending
    async with service.turn(**NAMES, wait=0):
        pass


async def test_a_turn_inside_itself_is_refused_in_a_task(service: Any) -> None:
    async with service.turn(**NAMES):
        with pytest.raises(InputValidationError, match="has the turn on it already"):
            async with service.turn(**NAMES):
                pass


def test_a_turn_of_a_thread_is_refused_inside_a_loop_that_it_runs(service: Any) -> None:
    with service.store.turn(**NAMES), pytest.raises(InputValidationError, match="has the turn on it already"):
        asyncio.run(_hold(service, 0))


async def test_a_blocking_turn_inside_that_of_its_task_is_refused(service: Any) -> None:
    async with service.turn(**NAMES):
        with pytest.raises(InputValidationError, match="has the turn on it already"), service.store.turn(**NAMES):
            pass


async def test_a_blocking_turn_that_would_stop_its_holders_loop_is_refused(service: Any) -> None:
    async def block(wait: Any) -> None:
        with service.store.turn(**NAMES, wait=wait):
            pass

    async with service.turn(**NAMES):
        with pytest.raises(InputValidationError, match="blocks the loop"):
            await asyncio.create_task(block(60))
        with pytest.raises(SessionBusyError):
            await asyncio.create_task(block(0))
    await block(0)


async def test_who_waits_for_the_turn_that_it_was_started_in_is_told(service: Any) -> None:
    async def wait_briefly() -> None:
        async with service.turn(**NAMES, wait=0.1):
            pass

    def block_briefly() -> None:
        with service.store.turn(**NAMES, wait=0.1):
            pass

    async with service.turn(**NAMES):
        for waiting in (asyncio.create_task(wait_briefly()), asyncio.to_thread(block_briefly)):
            with pytest.raises(SessionBusyError, match="the turn inside which this was started") as caught:
                await waiting
            assert caught.value.started_inside
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not refused_elsewhere(service.store).started_inside


async def test_a_task_waits_for_a_blocking_turn_of_another_task_in_its_thread(service: Any) -> None:
    with service.store.turn(**NAMES):
        waiting = asyncio.create_task(_hold(service, 0))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    await waiting


def test_a_loop_that_was_closed_gives_its_turn_back(service: Any, short_lease: float, renewing: Any) -> None:
    loop = asyncio.new_event_loop()
    turn = service.turn(**NAMES)
    loop.run_until_complete(turn.__aenter__())
    loop.close()
    wait_until(lambda: service.store.turns.read(KEY)[0] is None, "the turn was not given back")
    wait_until(lambda: not renewing(), "it is renewed all the same")


async def _hold(service: Any, seconds: float) -> None:
    async with service.turn(**NAMES):
        await asyncio.sleep(seconds)
