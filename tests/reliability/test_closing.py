"""Closing a service or store that is in use: each call ends with its result or with ClosedError, and nothing stays."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from google.adk.sessions import Session
from support.no_threads import no_new_threads

from adk_extra_sessions import ClosedError, SessionStore, usage
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import an_event

pytestmark = pytest.mark.anyio

USER = {"app_name": "shop", "user_id": "ada"}

Stored = list[tuple[str, str]]
"""The session and the event of each append that was acknowledged."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def calls_of(store: SessionStore, session: Session, stored: Stored) -> dict[str, Callable[[], Any]]:
    """Calls of a store, each to be repeated in a thread of its own."""

    def append() -> None:
        stored.append((session.id, store.append_event(session, an_event()).id))

    def turn() -> None:
        with store.turn(**USER, session_id="turn"):
            pass

    return {
        "append": append,
        "turn": turn,
        "get": lambda: store.get_session(**USER, session_id=session.id),
        "iterate": lambda: list(store.iter_sessions(app_name="shop", page_size=1)),
        "prune": lambda: store.prune_sessions(app_name="shop", keep_last=100),
        "ping": store.ping,
    }


def async_calls_of(service: SessionService, session: Session, stored: Stored) -> list[Callable[[], Awaitable[Any]]]:
    """Calls of a service, each to be repeated in a task of its own."""

    async def append() -> None:
        stored.append((session.id, (await service.append_event(session, an_event())).id))

    async def turn() -> None:
        async with service.turn(**USER, session_id="turn"):
            pass

    async def iterate() -> None:
        async for _ in service.iter_sessions(app_name="shop", page_size=1):
            pass

    def get() -> Awaitable[Any]:
        return service.get_session(**USER, session_id=session.id)

    return [append, turn, iterate, service.ping, get, get, get, get]


def until_closed(call: Callable[[], Any], errors: list[Exception]) -> None:
    try:
        while True:
            call()
    except Exception as error:
        errors.append(error)


async def until_closed_async(call: Callable[[], Awaitable[Any]]) -> Exception:
    try:
        while True:
            await call()
    except Exception as error:
        return error


def all_stored(store: SessionStore, stored: Stored) -> bool:
    found: set[tuple[str, str]] = set()
    for session_id in {one for one, _ in stored}:
        session = store.get_session(**USER, session_id=session_id)
        assert session is not None
        found |= {(session_id, event.id) for event in session.events}
    return set(stored) <= found


def test_a_store_that_threads_use_is_closed(make_store: Callable[..., SessionStore]) -> None:
    for _ in range(5):
        store, stored, errors = make_store(), Stored(), list[Exception]()
        calls = calls_of(store, store.create_session(**USER), stored)
        threads = [threading.Thread(target=until_closed, args=(call, errors)) for call in calls.values()]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        store.close()
        for thread in threads:
            thread.join(120)
        assert [type(error) for error in errors] == [ClosedError] * len(calls)
        assert all_stored(make_store(), stored)


async def test_a_service_that_tasks_use_is_closed(
    make_service: Callable[..., SessionService], make_store: Callable[..., SessionStore]
) -> None:
    store, others = make_store(), set(threading.enumerate())  # another test's may still be ending
    for _ in range(5):
        service, stored = make_service(), Stored()
        sessions = [await service.create_session(**USER) for _ in range(3)]
        calls = [call for session in sessions for call in async_calls_of(service, session, stored)]
        tasks = [asyncio.create_task(until_closed_async(call)) for call in calls]
        await asyncio.sleep(0.2)
        await asyncio.wait_for(service.close(), 120)
        assert [type(error) for error in await asyncio.gather(*tasks)] == [ClosedError] * len(calls)
        left = set(threading.enumerate()) - others
        assert [one.name for one in left if one.name.startswith(("adk-sessions", "adk-append"))] == []
        assert all_stored(store, stored)


@pytest.mark.parametrize("owns_store", [True, False])
async def test_a_service_refuses_calls_as_soon_as_its_closing_begins(
    make_store: Callable[..., SessionStore], monkeypatch: pytest.MonkeyPatch, owns_store: bool
) -> None:
    service = SessionService(make_store(), owns_store=owns_store)
    session = await service.create_session(**USER)
    answer = threading.Event()
    monkeypatch.setattr(service.store, "ping", lambda: answer.wait(60))
    under_way = asyncio.create_task(service.ping())
    await asyncio.sleep(0)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)
    try:
        with pytest.raises(ClosedError):
            await service.get_session(**USER, session_id=session.id)
        with pytest.raises(ClosedError):
            await service.append_event(session, an_event())
        assert not closing.done()
    finally:
        answer.set()
        await under_way
        await closing
    with pytest.raises(ClosedError):
        await service.get_session(**USER, session_id=session.id)


async def test_closing_a_service_goes_on_when_it_is_cancelled(
    make_service: Callable[..., SessionService], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, answer = make_service(), threading.Event()
    monkeypatch.setattr(service.store, "ping", lambda: answer.wait(60))
    under_way = asyncio.create_task(service.ping())
    await asyncio.sleep(0)
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0)
    closing.cancel()
    _, waiting = await asyncio.wait({closing}, timeout=0.05)
    answer.set()
    await under_way
    assert waiting
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(ClosedError):
        service.store.get_session(**USER, session_id="one")


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
async def test_a_service_is_closed_when_no_thread_can_start(make_service: Callable[..., SessionService]) -> None:
    service = make_service()
    await service.create_session(**USER)
    with no_new_threads():
        await service.close()
    with pytest.raises(ClosedError):
        service.store.get_session(**USER, session_id="one")


async def test_a_service_is_closed_while_its_store_stays_in_use(
    store: SessionStore,
) -> None:
    service = SessionService(store)
    session, stored = await service.create_session(**USER), Stored()
    tasks = [asyncio.create_task(until_closed_async(call)) for call in async_calls_of(service, session, stored) * 8]
    await asyncio.sleep(0.2)
    await asyncio.wait_for(service.close(), 120)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await service.close()
    assert all_stored(service.store, stored)


def test_a_store_is_closed_by_the_thread_that_uses_it(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a signal's handler does."""
    monkeypatch.setattr(usage, "LONGEST", 200.0)
    store.create_session(**USER)

    def close() -> None:
        with store.operation("ping"):
            store.close()

    thread = threading.Thread(target=close, daemon=True)
    thread.start()
    thread.join(100)  # half as long as it waits for other threads
    assert not thread.is_alive()
    with pytest.raises(ClosedError):
        store.ping()
