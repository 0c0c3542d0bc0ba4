"""Turns of threads: one at a time on a session, in order of arrival, on every backend."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.servers import wait_until
from support.turns import KEY, NAMES, queue_of, refused

from adk_extra_sessions import (
    InputValidationError,
    RedisSessionStore,
    SessionStore,
)
from adk_extra_sessions.turns.holding import WAIT


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
            wait_until(lambda: len(queue_of(store).waiting) == len(threads), "it does not come")
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_other_sessions_do_not_wait(store: SessionStore) -> None:
    with store.turn(**NAMES), store.turn(app_name="shop", user_id="ada", session_id="s2", wait=0):
        pass


def test_who_does_not_wait_is_refused_at_once(make_store: Callable[..., SessionStore]) -> None:
    store, other = make_store(), make_store()
    begun = time.monotonic()
    with store.turn(**NAMES):
        time.sleep(0.2)
        before = time.monotonic()
        error = refused(other, wait=0)
        assert time.monotonic() - before < WAIT
        most = time.monotonic() - begun
    assert "'s1' of user 'ada' is busy" in str(error)
    assert 0.1 < error.held_for < most + 1
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


def test_sessions_of_the_same_names_in_two_places_have_a_turn_each() -> None:
    one, two = RedisSessionStore("fakeredis://turns-one"), RedisSessionStore("fakeredis://turns-two")
    with one.turn(**NAMES), two.turn(**NAMES, wait=0):
        pass
    one.close()
    two.close()
