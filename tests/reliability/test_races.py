"""Races between threads, and within one batch: exactly one wins, nothing is lost or left half done."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions import MongoSessionStore, SessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import AlreadyExistsError, SessionNotFoundError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER}
ONE: dict[str, Any] = {**NAMES, "session_id": "one"}

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Runs each call in a thread of its own, all started together; returns results and exceptions."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(timeout=60)
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def found(store: SessionStore, session: Session) -> Session:
    read = store.get_session(app_name=session.app_name, user_id=session.user_id, session_id=session.id)
    assert read is not None
    return read


def left_of_sessions(store: Any) -> list[Any]:
    """What the storage still holds of any session."""
    if isinstance(store, MongoSessionStore):
        return [*store.backend.sessions.find(), *store.backend.chunks.find()]
    # A user's: the app's own index of users is on a cluster in another slot, and outlives them.
    kinds = ("s:*", "e:*", "i")
    return [key for kind in kinds for key in store.client.scan_iter(match=f"{store.prefix}:*/*:{kind}", count=10_000)]


def test_one_of_32_creators_wins_and_no_other_leaves_a_trace(make_store: Callable[..., SessionStore]) -> None:
    stores = [make_store() for _ in range(4)]
    for _ in range(3):
        creators = [
            lambda number=number: stores[number % 4].create_session(
                **ONE, state={"winner": number, "user:winner": number, "app:winner": number, f"user:{number}": 1}
            )
            for number in range(32)
        ]
        results = at_once(*creators)
        winners = [number for number, result in enumerate(results) if isinstance(result, Session)]
        assert len(winners) == 1
        assert [type(result) for result in results].count(AlreadyExistsError) == 31
        state = {"winner": winners[0], "user:winner": winners[0], "app:winner": winners[0]}
        assert found(stores[0], results[winners[0]]).state.items() >= state.items()
        stores[0].delete_session(**ONE)
    assert len(stores[0].get_user_state(**NAMES)) <= 4


def test_deleting_beside_an_append_leaves_nothing_of_the_session(make_store: Callable[..., SessionStore]) -> None:
    writer, deleter = make_store(), make_store()
    chance = random.Random(7)
    outcomes = set()
    for _ in range(15):
        session = writer.create_session(**ONE)
        # On MongoDB some of the next events move others to a chunk.
        writer.append_many((session, an_event()) for _ in range(98))

        deletion = threading.Event()

        def append_on(session: Session = session, deletion: threading.Event = deletion) -> None:
            while True:
                late = deletion.is_set()
                writer.append_event(session, an_event(delta={"key": 1, "user:key": 1}))
                assert not late

        def delete_soon(seconds: float = chance.random() * 0.02, deletion: threading.Event = deletion) -> None:
            time.sleep(seconds)
            try:
                deleter.delete_session(**ONE)
            finally:
                deletion.set()

        appended, deleted = at_once(append_on, delete_soon)
        outcomes.add(type(appended))
        assert deleted is None
        assert writer.get_session(**ONE) is None
        assert left_of_sessions(writer) == []
    assert outcomes == {SessionNotFoundError}
    assert writer.list_sessions(app_name=APP).sessions == []


async def test_deleting_one_session_of_a_batch_is_that_ones_matter(
    service: SessionService, make_service: Callable[..., SessionService]
) -> None:
    other = make_service()
    for _ in range(6):
        sessions = [await a_session(service) for _ in range(16)]
        doomed = sessions[8]
        appends = [service.append_event(one, an_event(delta={f"user:{one.id}": 1})) for one in sessions]
        deletion = other.delete_session(**NAMES, session_id=doomed.id)
        outcomes, _ = await asyncio.gather(asyncio.gather(*appends, return_exceptions=True), deletion)
        assert isinstance(outcomes.pop(8), Event | SessionNotFoundError)
        assert all(isinstance(outcome, Event) for outcome in outcomes)
        assert await service.get_session(**NAMES, session_id=doomed.id) is None
        for one in sessions:
            if one is not doomed:
                assert (await stored(service, one)).events == one.events


def test_two_holders_who_reload_lose_nothing(make_store: Callable[..., SessionStore]) -> None:
    stores = [make_store(), make_store()]
    first = stores[0].create_session(**ONE)
    holders = [found(stores[number], first) for number in range(2)]
    refusals = [0, 0]

    def hold(number: int) -> list[str]:
        live = holders[number]
        stored_ids = []
        for step in range(60):
            event = an_event(f"{number}.{step}", delta={f"{number}.{step}": step, f"app:{number}": step})
            while True:
                try:
                    stores[number].append_event(live, event)
                    break
                except StaleSessionError:
                    assert event not in live.events
                    refusals[number] += 1
                    live = found(stores[number], first)
            stored_ids.append(event.id)
        return stored_ids

    mine, others = at_once(lambda: hold(0), lambda: hold(1))
    read = found(stores[0], first)
    assert sum(refusals) > 0
    assert [one for one in ids(read) if one in mine] == mine
    assert [one for one in ids(read) if one in others] == others
    assert len(read.events) == 120 and len(read.state) == 122


def test_two_holders_may_both_append_when_told_so(make_store: Callable[..., SessionStore]) -> None:
    stores = [make_store(on_stale="append"), make_store(on_stale="append")]
    first = stores[0].create_session(**ONE)
    holders = [found(stores[number], first) for number in range(2)]

    def hold(number: int) -> list[str]:
        live = holders[number]
        for step in range(120):
            stores[number].append_event(live, an_event(delta={f"{number}.{step}": step, f"user:{number}": step}))
        return ids(live)

    mine, others = at_once(lambda: hold(0), lambda: hold(1))
    read = found(stores[0], first)
    assert [one for one in ids(read) if one in mine] == mine
    assert [one for one in ids(read) if one in others] == others
    assert len(mine) == len(others) == 120 and len(read.events) == 240
    assert len(read.state) == 242


@pytest.mark.parametrize("on_stale", ["raise", "append"])
async def test_two_holders_in_one_batch(make_service: Callable[..., SessionService], on_stale: str) -> None:
    service = make_service(on_stale=on_stale)
    first = await a_session(service)
    holders = [first, await stored(service, first)]
    bystanders = [await a_session(service) for _ in range(20)]
    sessions = [session for pair in zip(holders * 10, bystanders, strict=True) for session in pair]
    appends = [service.append_event(one, an_event(str(step))) for step, one in enumerate(sessions)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    refused = [one for one, outcome in zip(sessions, outcomes, strict=True) if isinstance(outcome, StaleSessionError)]
    assert all(one is holders[1] for one in refused)
    assert len(refused) == (10 if on_stale == "raise" else 0)
    assert all(isinstance(outcome, Event | StaleSessionError) for outcome in outcomes)
    read = await stored(service, first)
    for holder in holders:
        assert [one for one in ids(read) if one in ids(holder)] == ids(holder)
    assert len(read.events) == sum(len(holder.events) for holder in holders) == 20 - len(refused)
    for one in bystanders:
        assert (await stored(service, one)).events == one.events and len(one.events) == 1


KEYS = {f"{number}.{step}": step for number in range(16) for step in range(20)}


def delta(number: int, step: int) -> dict[str, Any]:
    return {f"user:{number}.{step}": step, f"app:{number}.{step}": step}


def check_keys(store: SessionStore, session: Session) -> None:
    assert store.get_user_state(**NAMES) == KEYS
    assert found(store, session).state == {f"{scope}:{key}": KEYS[key] for key in KEYS for scope in ("user", "app")}


def test_320_keys_from_16_threads(make_store: Callable[..., SessionStore]) -> None:
    stores = [make_store() for _ in range(4)]
    sessions = [stores[0].create_session(**NAMES) for _ in range(16)]

    def write(number: int) -> None:
        for step in range(20):
            stores[number % 4].append_event(sessions[number], an_event(delta=delta(number, step)))

    assert at_once(*(lambda number=number: write(number) for number in range(16))) == [None] * 16
    check_keys(stores[0], sessions[0])


async def test_320_keys_in_batches(service: SessionService) -> None:
    sessions = [await a_session(service) for _ in range(17)]
    superseded = sessions.pop()
    await service.append_event(await stored(service, superseded), an_event())
    appends = [
        service.append_event(sessions[number], an_event(delta=delta(number, step)))
        for step in range(20)
        for number in range(16)
    ]
    appends.insert(100, service.append_event(superseded, an_event(delta={"user:refused": 1, "app:refused": 1})))
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert isinstance(outcomes.pop(100), StaleSessionError)
    assert all(isinstance(outcome, Event) for outcome in outcomes)
    check_keys(service.store, sessions[0])
