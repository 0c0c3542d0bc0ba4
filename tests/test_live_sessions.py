"""One live session used from several loops, threads, services and stores: it has what storage has, in that order."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import ModuleType

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from support.ctrl_c import ctrl_c_at

from adk_extra_sessions import SessionStore, appends
from adk_extra_sessions import live_sessions as live_sessions_module
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.live_sessions import live_sessions
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids

NAMES = {"app_name": APP, "user_id": USER}


def assert_agrees(store: SessionStore, live: Session) -> None:
    """Whether a live session is what storage has."""
    found = store.get_session(**NAMES, session_id=live.id)
    assert found is not None
    assert ids(found) == ids(live)
    assert found.state == live.state
    assert found.last_update_time == live.last_update_time
    assert found._storage_update_marker == live._storage_update_marker


def in_threads(writers: list[Callable[[Event], object]], rounds: int = 6) -> None:
    """Has each writer append events in a thread of its own, all at once."""

    def write(number: int) -> None:
        for step in range(rounds):
            time.sleep(random.random() * 0.002)
            writers[number](an_event(f"{number}.{step}", delta={"last": f"{number}.{step}"}))

    with ThreadPoolExecutor(len(writers)) as threads:
        list(threads.map(write, range(len(writers))))


def test_loops_that_share_a_live_session_keep_the_order_of_storage(service: SessionService) -> None:
    for _ in range(10):
        live = service.store.create_session(**NAMES)
        in_threads([lambda event, live=live: asyncio.run(service.append_event(live, event))] * 4)  # type: ignore[misc]
        assert_agrees(service.store, live)


def test_a_loop_that_is_late_does_not_change_the_order(service: SessionService) -> None:
    live = service.store.create_session(**NAMES)
    busy, free = threading.Event(), threading.Event()
    first, second = an_event("first", delta={"last": 1}), an_event("second", delta={"last": 2})

    async def late() -> None:
        task = asyncio.ensure_future(service.append_event(live, first))
        await asyncio.sleep(0)
        busy.set()
        assert free.wait(60)  # the loop stands still, and the event is stored meanwhile
        await task

    thread = threading.Thread(target=asyncio.run, args=(late(),))
    thread.start()
    assert busy.wait(60)
    asyncio.run(service.append_event(live, second))
    assert ids(live) == [first.id, second.id]
    free.set()
    thread.join()
    assert_agrees(service.store, live)


@pytest.mark.parametrize("on_stale", ["raise", "append"])
def test_services_and_stores_that_share_a_live_session(
    make_service: Callable[..., SessionService], make_store: Callable[..., SessionStore], on_stale: str
) -> None:
    one, other, store = make_service(on_stale=on_stale), make_service(on_stale=on_stale), make_store(on_stale=on_stale)
    for _ in range(5):
        live = store.create_session(**NAMES)
        in_threads(
            [
                lambda event, live=live: asyncio.run(one.append_event(live, event)),  # type: ignore[misc]
                lambda event, live=live: asyncio.run(other.append_event(live, event)),  # type: ignore[misc]
                lambda event, live=live: store.append_event(live, event),  # type: ignore[misc]
            ]
        )
        assert len(live.events) == 18
        assert_agrees(store, live)


@pytest.mark.parametrize("module", [appends, live_sessions_module], ids=["appends", "live_sessions"])
def test_ctrl_c_anywhere_in_an_append_blocks_no_session(store: SessionStore, module: ModuleType) -> None:
    gc.collect()
    before = set(live_sessions._orders)  # of other tests
    with ThreadPoolExecutor(1) as other_thread:
        for line in itertools.count():
            live, event = store.create_session(**NAMES), an_event(delta={"key": line, "temp:key": line})
            with suppress(KeyboardInterrupt), ctrl_c_at(module, line) as came:
                store.append_event(live, event)
            other_thread.submit(store.append_event, live, event).result(timeout=60)  # the same one, stored once
            other_thread.submit(store.append_event, live, an_event()).result(timeout=60)
            assert len(live.events) == 2
            assert live.state.pop("temp:key") == line
            assert_agrees(store, live)
            if not came.is_set():
                break
    assert line > 10
    gc.collect()
    assert set(live_sessions._orders) <= before


def test_writers_of_the_same_sessions_never_wait_for_each_other(store: SessionStore) -> None:
    one, other = store.create_session(**NAMES), store.create_session(**NAMES)
    assert live_sessions.orders([one, other]) == live_sessions.orders([other, one])
    assert len(live_sessions.orders([one, one])) == 1


def test_ctrl_c_while_waiting_for_another_writer_blocks_no_session(store: SessionStore) -> None:
    first, second = sorted((store.create_session(**NAMES) for _ in range(2)), key=id)
    (order,) = live_sessions.orders([first])  # as a third writer has it that waits for the first session

    def interrupt() -> None:
        with live_sessions.storing([second]):
            held.set()
            while order.lock.acquire(blocking=False):
                order.lock.release()
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait(60)

    held, interrupted = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as other_thread:
        done = other_thread.submit(interrupt)
        assert held.wait(60)
        with pytest.raises(KeyboardInterrupt):
            store.append_many([(first, an_event()), (second, an_event())])
        interrupted.set()
        done.result(timeout=60)
        assert other_thread.submit(order.lock.acquire, timeout=5).result()
        other_thread.submit(order.lock.release).result()


@pytest.mark.parametrize("stopped_first", [False, True], ids=["closed before", "closed after"])
def test_a_loop_closed_amid_an_append_leaves_no_gap(service: SessionService, stopped_first: bool) -> None:
    live = service.store.create_session(**NAMES)
    loop = asyncio.new_event_loop()
    task = loop.create_task(service.append_event(live, an_event("first", delta={"first": 1})))
    loop.run_until_complete(asyncio.sleep(0))
    if stopped_first:  # the outcome is handed to the loop, which never comes to it
        service._commits.finish()
    loop.close()
    service._commits.finish()
    del task
    asyncio.run(service.append_event(live, an_event("second", delta={"second": 2})))
    assert len(live.events) == 2
    assert_agrees(service.store, live)


def test_a_closed_loops_event_comes_into_its_session_by_itself(service: SessionService) -> None:
    live, other = service.store.create_session(**NAMES), service.store.create_session(**NAMES)
    loop = asyncio.new_event_loop()
    task = loop.create_task(service.append_event(live, an_event()))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del task
    asyncio.run(service.append_event(other, an_event()))
    asyncio.run(service.flush())
    assert_agrees(service.store, live)
