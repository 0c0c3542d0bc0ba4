"""Turns: one run at a time on a session, on every backend."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.adk.events import Event
from support.servers import RedisServer, wait_until

from adk_extra_sessions import (
    CorruptRecordError,
    InputValidationError,
    RedisSessionStore,
    SessionBusyError,
    SessionStore,
    StaleSessionError,
    TurnLostError,
)
from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns import queue
from adk_extra_sessions.turns.queue import TurnQueue, Waiter

pytestmark = pytest.mark.anyio

NAMES = {"app_name": "shop", "user_id": "ada", "session_id": "s1"}

KEY = SessionKey(**NAMES)

HOLDER = """
import sys, time
from adk_extra_sessions import MongoSessionStore, RedisSessionStore
from adk_extra_sessions.turns import queue
queue.LEASE = float(sys.argv[2])
arguments = eval(sys.argv[1])
cls = RedisSessionStore if "prefix" in arguments else MongoSessionStore
with cls(**arguments) as store, store.turn(app_name="shop", user_id="ada", session_id="s1"):
    print("held", flush=True)
    sys.stdin.readline()
print("given back", flush=True)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> float:
    """A lease that a test can wait for."""
    monkeypatch.setattr(queue, "LEASE", 1.5)
    return 1.5


@pytest.fixture
def other_process(server: object, storage: dict[str, Any], short_lease: float) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the turn."""
    command = [sys.executable, "-c", HOLDER, repr(storage), str(short_lease)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_one_at_a_time(store: SessionStore) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def run() -> None:
        nonlocal inside, most
        with store.turn(**NAMES):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_turns_come_in_order_of_arrival(store: SessionStore) -> None:
    order: list[int] = []

    def run(number: int) -> None:
        with store.turn(**NAMES):
            order.append(number)

    with store.turn(**NAMES):
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=run, args=(number,)))
            threads[-1].start()
            time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_other_sessions_do_not_wait(store: SessionStore) -> None:
    with store.turn(**NAMES), store.turn(app_name="shop", user_id="ada", session_id="s2", wait=0):
        pass


def test_who_does_not_wait_is_refused_at_once(make_store: Callable[..., SessionStore]) -> None:
    store, other = make_store(), make_store()
    with store.turn(**NAMES):
        time.sleep(0.2)
        before = time.monotonic()
        error = refused(other, wait=0)
        assert time.monotonic() - before < 1
    assert "'s1' of user 'ada' is busy" in str(error)
    assert 0.1 < error.held_for < 10
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    with other.turn(**NAMES, wait=0):
        pass


def test_who_gives_up_leaves_the_queue(make_store: Callable[..., SessionStore]) -> None:
    store, other = make_store(), make_store()
    with store.turn(**NAMES):
        refused(other, wait="0.3s")
    with store.turn(**NAMES, wait=0):  # nobody is before us
        pass


def test_a_turn_inside_itself_is_refused(store: SessionStore) -> None:
    with (
        store.turn(**NAMES),
        pytest.raises(InputValidationError, match="has the turn on it already"),
        store.turn(**NAMES),
    ):
        pass
    with store.turn(**NAMES):
        pass


@pytest.mark.parametrize("wait", [-1, "soon", float("nan"), True, object()])
def test_a_wrong_wait_is_refused(store: SessionStore, wait: Any) -> None:
    with pytest.raises(InputValidationError, match="wait must be a duration"):
        store.turn(**NAMES, wait=wait)


def test_nothing_is_left_behind(store: SessionStore) -> None:
    with store.turn(**NAMES):
        assert store.turns.read(KEY)[0] is not None
    assert store.turns.read(KEY)[0] is None


def test_an_error_inside_passes_and_gives_the_turn_back(store: SessionStore) -> None:
    with pytest.raises(ZeroDivisionError), store.turn(**NAMES):
        _ = 1 / 0
    with store.turn(**NAMES, wait=0):
        pass


@pytest.mark.slow
def test_a_turn_is_renewed_while_it_is_held(make_store: Callable[..., SessionStore], short_lease: float) -> None:
    store, other = make_store(), make_store()
    with store.turn(**NAMES):
        time.sleep(2 * short_lease)
        refused(other, wait=0)


@pytest.mark.slow
def test_a_record_that_cannot_be_read_does_not_end_the_renewal_of_other_turns(
    make_store: Callable[..., SessionStore], short_lease: float
) -> None:
    store, other = make_store(), make_store()

    def hold_a_damaged_one() -> None:
        with store.turn(**{**NAMES, "session_id": "damaged"}):
            damage(store, SessionKey(**{**NAMES, "session_id": "damaged"}))
            time.sleep(2 * short_lease)
            refused(other, wait=0)

    with store.turn(**NAMES), pytest.raises(CorruptRecordError):
        hold_a_damaged_one()


NO_QUEUES = {
    "another type": "[]",
    "times that are texts": '{"holder": "a", "since": "x", "renewed": "y", "waiting": []}',
    "a holder that is a list": '{"holder": ["a"], "since": 1, "renewed": 1, "waiting": []}',
    "a time that is no number": '{"holder": "a", "since": 1, "renewed": NaN, "waiting": []}',
    "a waiter without a time": '{"holder": null, "since": 0, "renewed": 0, "waiting": [["x", "y"]]}',
    "too deep": "[" * 100_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("text", NO_QUEUES.values(), ids=NO_QUEUES)
def test_a_record_of_another_form_is_named_and_ends_no_renewal(
    make_store: Callable[..., SessionStore], short_lease: float, text: str
) -> None:
    store, other = make_store(), make_store()
    damaged = SessionKey(**{**NAMES, "session_id": "damaged"})

    def hold_a_damaged_one() -> None:
        with store.turn(**{**NAMES, "session_id": "damaged"}):
            before, _ = store.turns.read(damaged)
            assert store.turns.swap(damaged, before, text)
            time.sleep(1.5 * short_lease)
            refused(other, wait=0)

    with store.turn(**NAMES), pytest.raises(CorruptRecordError, match="'damaged'"):
        hold_a_damaged_one()
    with pytest.raises(CorruptRecordError, match="'damaged'"), store.turn(**{**NAMES, "session_id": "damaged"}):
        pass


@pytest.mark.parametrize("waits", [False, True], ids=["holds", "waits"])
def test_a_dead_process_blocks_no_session_for_longer_when_the_servers_clock_was_set_back(
    store: SessionStore, short_lease: float, waits: bool
) -> None:
    _, now = store.turns.read(KEY)
    later = now + 3600
    dead = TurnQueue(None, 0, 0, (Waiter("dead", later),)) if waits else TurnQueue("dead", later, later)
    assert store.turns.swap(KEY, None, dead.dumps())
    with store.turn(**NAMES, wait=5 * short_lease):
        pass


@pytest.mark.servers
def test_a_server_that_does_not_answer_delays_no_renewal_on_another(short_lease: float) -> None:
    names = {**NAMES, "session_id": "elsewhere"}
    with RedisServer() as server, RedisSessionStore(server.url, socket_timeout=20) as paused:
        healthy, other = RedisSessionStore("fakeredis://turns-beside"), RedisSessionStore("fakeredis://turns-beside")
        with paused.turn(**names), healthy.turn(**NAMES):
            assert server.process is not None
            server.process.send_signal(signal.SIGSTOP)
            try:
                time.sleep(3 * short_lease)
                refused(other, wait=0)
            finally:
                server.process.send_signal(signal.SIGCONT)
            time.sleep(0.1)


def test_a_forked_child_does_not_give_its_parents_turn_back(server: object, store: SessionStore) -> None:
    def fork_inside() -> int:
        with store.turn(**NAMES):
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                refused(store, wait=0)
        return child

    if not fork_inside():  # the child, which has left the turn as well
        os._exit(0)


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_a_killed_holder_is_waited_for_no_longer_than_a_lease(
    store: SessionStore, other_process: subprocess.Popen[str], short_lease: float
) -> None:
    with pytest.raises(SessionBusyError), store.turn(**NAMES, wait=0):
        pass
    other_process.send_signal(signal.SIGKILL)
    before = time.monotonic()
    with store.turn(**NAMES, wait=10):
        assert time.monotonic() - before < short_lease + 1


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_a_waiter_that_dies_holds_up_nobody(
    make_store: Callable[..., SessionStore], other_process: subprocess.Popen[str], short_lease: float
) -> None:
    store = make_store()
    text, now = store.turns.read(KEY)
    waiting = TurnQueue.loads(text).entered("a process that dies now", now)
    while not store.turns.swap(KEY, text, waiting.dumps()):
        text, now = store.turns.read(KEY)
        waiting = TurnQueue.loads(text).entered("a process that dies now", now)
    assert other_process.stdin is not None
    other_process.stdin.close()
    with store.turn(**NAMES, wait=3 * short_lease):
        pass


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_a_paused_holder_hears_that_it_lost_the_turn(
    store: SessionStore, other_process: subprocess.Popen[str], short_lease: float
) -> None:
    other_process.send_signal(signal.SIGSTOP)
    try:
        with store.turn(**NAMES, wait=10):
            pass
    finally:
        other_process.send_signal(signal.SIGCONT)
    _, _ = other_process.communicate("\n", timeout=30)
    assert other_process.returncode != 0


def test_a_lost_turn_is_told_and_writes_over_nothing(make_store: Callable[..., SessionStore]) -> None:
    store, other = make_store(), make_store()
    store.create_session(**NAMES)

    def work() -> None:
        with other.turn(**NAMES, wait=0):
            session = other.get_session(**NAMES)
            assert session is not None
            other.append_event(session, Event(author="user"))

    def lose_the_turn() -> None:
        with store.turn(**NAMES):
            session = store.get_session(**NAMES)
            assert session is not None
            text, _ = store.turns.read(KEY)
            assert store.turns.swap(KEY, text, None)  # what the end of its lease makes of it
            elsewhere(work)
            with pytest.raises(StaleSessionError):
                store.append_event(session, Event(author="user"))

    with pytest.raises(TurnLostError, match="was lost"):
        lose_the_turn()


def test_a_loss_that_was_noticed_before_the_end_is_told_there(store: SessionStore, short_lease: float) -> None:
    def lose_the_turn() -> None:
        with store.turn(**NAMES) as turn:
            text, _ = store.turns.read(KEY)
            assert store.turns.swap(KEY, text, None)
            wait_until(lambda: turn.lost, "nobody noticed")

    with pytest.raises(TurnLostError):
        lose_the_turn()


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
            await asyncio.create_task(block(2))
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


def test_a_loop_that_was_closed_gives_its_turn_back(service: Any, short_lease: float) -> None:
    loop = asyncio.new_event_loop()
    turn = service.turn(**NAMES)
    loop.run_until_complete(turn.__aenter__())
    loop.close()
    with service.store.turn(**NAMES, wait=3 * short_lease):
        pass


def test_a_child_process_does_not_renew_its_parents_turns(store: SessionStore, short_lease: float) -> None:
    with store.turn(**NAMES):
        child = os.fork()
        if not child:
            os._exit(threading.active_count() - 1)
        assert os.waitpid(child, 0)[1] == 0


async def _hold(service: Any, seconds: float) -> None:
    async with service.turn(**NAMES):
        await asyncio.sleep(seconds)


def damage(store: Any, key: SessionKey) -> None:
    """Makes the record of a turn unreadable: no text on MongoDB, no UTF-8 on Redis."""
    turns = store.backend.turns
    if hasattr(turns, "turns"):
        turns.turns.update_one(layout.session_filter(key), {"$unset": {"queue": 1}})
    else:
        turns.client.hset(turns._key(key), "queue", b"\xff")


def elsewhere(call: Callable[[], Any]) -> Any:
    """Makes a call in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def refused_elsewhere(store: SessionStore) -> SessionBusyError:
    """Returns why another thread does not get a turn that this thread holds."""
    with store.turn(**NAMES):
        return refused(store, wait=0)


def refused(store: SessionStore, wait: Any) -> SessionBusyError:
    """Returns why another thread does not get the turn."""

    def enter() -> None:
        with store.turn(**NAMES, wait=wait):
            pass

    with pytest.raises(SessionBusyError) as caught:
        elsewhere(enter)
    return caught.value
