"""A turn is renewed while it is held, and ends with its holder; who has lost it is told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.events import Event
from support.no_threads import no_new_threads
from support.processes import check_in_a_child, pause, resume
from support.servers import RedisServer, wait_until
from support.turns import KEY, NAMES, elsewhere, queue_of, refused, wait_for_renewals

from adk_extra_sessions import (
    CorruptRecordError,
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
from adk_extra_sessions.turns.renewal import renewal


@pytest.mark.slow
def test_a_turn_is_renewed_while_it_is_held(
    make_store: Callable[..., SessionStore], short_lease: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = make_store(), make_store()
    with store.turn(**NAMES):
        begun = queue_of(store).renewed
        while queue_of(store).renewed < begun + 2 * short_lease:
            wait_for_renewals(store, 1)
        never_end(monkeypatch)
        refused(other, wait=0)


def never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no turn end that is on record, however late it is renewed on a slow machine."""
    monkeypatch.setattr(queue, "LEASE", 600.0)


Threads = Callable[[], list[threading.Thread]]


def test_the_turns_of_a_store_are_renewed_by_one_thread_that_ends_after_them(
    store: SessionStore, short_lease: float, renewing: Threads
) -> None:
    for _ in range(2):
        with store.turn(**NAMES), store.turn(**{**NAMES, "session_id": "s2"}):
            assert [thread.daemon for thread in renewing()] == [True]  # so that no exit waits for it
        wait_until(lambda: not renewing(), "it goes on")


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_turn_that_no_thread_can_renew_is_refused_and_the_next_one_is_renewed(
    store: SessionStore, renewing: Threads
) -> None:
    store.ping()  # its driver has its own threads from now on
    with no_new_threads(), pytest.raises(RuntimeError), store.turn(**NAMES):
        pass
    with store.turn(**NAMES, wait=0):
        assert len(renewing()) == 1


@pytest.mark.slow
def test_a_record_that_cannot_be_read_does_not_end_the_renewal_of_other_turns(
    store: SessionStore, short_lease: float
) -> None:

    def hold_a_damaged_one() -> None:
        with store.turn(**{**NAMES, "session_id": "damaged"}):
            damage(store, SessionKey(**{**NAMES, "session_id": "damaged"}))
            wait_for_renewals(store, 3)

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
    store: SessionStore, short_lease: float, text: str
) -> None:
    damaged = SessionKey(**{**NAMES, "session_id": "damaged"})

    def hold_a_damaged_one() -> None:
        with store.turn(**{**NAMES, "session_id": "damaged"}):
            wait_until(lambda: store.turns.swap(damaged, store.turns.read(damaged)[0], text), "it is not replaced")
            wait_for_renewals(store, 3)

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
    with store.turn(**NAMES, wait=60):
        pass


@pytest.mark.servers
def test_a_server_that_does_not_answer_delays_no_renewal_on_another(short_lease: float) -> None:
    names = {**NAMES, "session_id": "elsewhere"}
    with RedisServer() as server, RedisSessionStore(server.url, socket_timeout=20) as paused:
        healthy = RedisSessionStore("fakeredis://turns-beside")
        with paused.turn(**names), healthy.turn(**NAMES):
            pause(server.process)
            try:
                wait_for_renewals(healthy, 4)
            finally:
                resume(server.process)


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
    store: SessionStore, other_process: subprocess.Popen[str], short_lease: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        never_end(patch)
        refused(store, wait=0)
    other_process.kill()
    other_process.wait()
    renewed = queue_of(store).renewed

    def is_free() -> bool:
        _, now = store.turns.read(KEY)
        try:
            with store.turn(**NAMES, wait=0):
                return True
        except SessionBusyError:
            assert now < renewed + short_lease
            return False

    wait_until(is_free, "it is not free")


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_a_waiter_that_dies_holds_up_nobody(
    store: SessionStore, other_process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        never_end(patch)
        text, now = store.turns.read(KEY)
        waiting = TurnQueue.loads(text).entered("a process that dies now", now)
        while not store.turns.swap(KEY, text, waiting.dumps()):
            text, now = store.turns.read(KEY)
            waiting = TurnQueue.loads(text).entered("a process that dies now", now)
    assert other_process.stdin is not None
    other_process.stdin.close()
    with store.turn(**NAMES, wait=60):
        pass


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_a_paused_holder_hears_that_it_lost_the_turn(
    store: SessionStore, other_process: subprocess.Popen[str], short_lease: float
) -> None:
    pause(other_process)
    try:
        with store.turn(**NAMES, wait=60):
            pass
    finally:
        resume(other_process)
    _, _ = other_process.communicate("\n", timeout=120)
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


def test_a_loss_that_was_noticed_before_the_end_is_told_there(
    store: SessionStore, short_lease: float, renewing: Threads
) -> None:
    def lose_the_turn() -> None:
        with store.turn(**NAMES) as turn:
            text, _ = store.turns.read(KEY)
            assert store.turns.swap(KEY, text, None)
            wait_until(lambda: turn.lost, "nobody noticed")
            wait_until(lambda: not renewing(), "it is renewed all the same")

    with pytest.raises(TurnLostError):
        lose_the_turn()


def test_a_turn_that_is_given_back_while_it_is_renewed_is_not_lost(
    store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    with store.turn(**NAMES) as turn:
        pass
    renewal._renew(turn)  # as the thread does that had it on its list
    assert not turn.lost and "was lost" not in caplog.text


def test_a_child_process_renews_its_own_turns_and_not_its_parents(store: SessionStore, renewing: Threads) -> None:
    def renews_its_own() -> bool:
        threads = [threading.active_count()]
        with store.turn(**{**NAMES, "session_id": "s2"}):
            threads.append(len(renewing()))
        return threads == [1, 1]

    with store.turn(**NAMES):
        check_in_a_child(renews_its_own)


def damage(store: Any, key: SessionKey) -> None:
    """Makes the record of a turn unreadable: no text on MongoDB, no UTF-8 on Redis."""
    turns = store.backend.turns
    if hasattr(turns, "turns"):
        turns.turns.update_one(layout.session_filter(key), {"$unset": {"queue": 1}})
    else:
        turns.client.hset(turns._key(key), "queue", b"\xff")
