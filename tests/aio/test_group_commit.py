"""The queue in front of a store: what travels together, and what it survives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from google.adk.sessions import Session
from support.servers import wait_until

from adk_extra_sessions.aio import group_commit
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.records import AppendRequest
from adk_extra_sessions.testing.contract.samples import a_session, an_event, ids, stored, texts
from adk_extra_sessions.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def batches(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each call of the backend stored."""
    seen: list[int] = []
    store = service.store
    send = store.backend.append

    def counted(requests: Sequence[AppendRequest]) -> Any:
        seen.append(sum(len(request.events) for request in requests))
        return send(requests)

    monkeypatch.setattr(store.backend, "append", counted)
    return seen


@pytest.fixture
def free(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is stored until it is set."""
    write, event = partial(Writer.write, service.store.writer), threading.Event()

    def written_later(writer: Writer, appends: Any) -> None:
        assert event.wait(timeout=60)
        write(appends)

    monkeypatch.setattr(Writer, "write", written_later)
    return event


async def together(free: threading.Event, appends: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Makes appends of which none is stored before all wait."""
    tasks = [asyncio.ensure_future(append) for append in appends]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*tasks)


async def test_appends_that_wait_together_travel_together(
    service: SessionService, batches: list[int], free: threading.Event
) -> None:
    sessions = [await a_session(service) for _ in range(40)]
    await together(free, (service.append_event(session, an_event()) for session in sessions))
    assert sum(batches) == 40
    assert len(batches) <= 2  # what the worker took before the others came, and the others


async def test_a_batch_is_bounded(service: SessionService, batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 8)
    sessions = [await a_session(service) for _ in range(30)]
    await asyncio.gather(*(service.append_event(session, an_event()) for session in sessions))
    assert sum(batches) == 30
    assert max(batches) <= 8


async def test_a_batch_is_bounded_in_bytes(
    service: SessionService, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "BATCH_BYTES", 100_000)
    sessions = [await a_session(service) for _ in range(30)]
    await asyncio.gather(*(service.append_event(session, an_event("x" * 30_000)) for session in sessions))
    assert sum(batches) == 30
    assert max(batches) <= 4


async def test_many_events_of_one_session_keep_their_order(
    service: SessionService, batches: list[int], free: threading.Event
) -> None:
    session = await a_session(service)
    events = [an_event(str(number)) for number in range(150)]
    await together(free, (service.append_event(session, event) for event in events))
    assert ids(await stored(service, session)) == ids(session) == [event.id for event in events]
    assert len(batches) < 50


async def test_a_cancelled_flush_stops_no_append(
    service: SessionService, free: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await a_session(service)
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 1)
    appends = {asyncio.ensure_future(service.append_event(session, an_event())) for _ in range(3)}
    await asyncio.sleep(0)
    flushed = asyncio.ensure_future(service.flush())
    await asyncio.sleep(0)
    flushed.cancel()
    await asyncio.sleep(0)
    free.set()
    _, waiting = await asyncio.wait({flushed, *appends}, timeout=60)
    assert not waiting and flushed.cancelled()
    assert len((await stored(service, session)).events) == 3


async def test_nothing_is_kept_of_an_append_that_has_ended(service: SessionService) -> None:
    session = await a_session(service)
    for _ in range(3):
        await service.append_event(session, an_event())
    await service.flush()
    assert service._commits._handed == []


async def test_a_caller_who_is_cancelled_as_the_outcome_comes_changes_no_order(
    service: SessionService, free: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = await a_session(service), await a_session(service)
    complete = group_commit._complete

    def after_a_cancellation(batch: Any) -> None:
        tasks[-1].cancel()
        complete(batch)

    monkeypatch.setattr(group_commit, "_complete", after_a_cancellation)
    events = [an_event(str(number), delta={"key": number}) for number in range(3)]
    tasks = [asyncio.ensure_future(service.append_event(other, an_event()))]
    tasks += [asyncio.ensure_future(service.append_event(session, event)) for event in events]
    await asyncio.sleep(0.01)
    free.set()
    await asyncio.wait(tasks)
    found = await stored(service, session)
    assert found == session and ids(found) == [event.id for event in events]


LATER: dict[str, Callable[[SessionService, Session], Awaitable[object]]] = {
    "flush": lambda service, _: service.flush(),
    "close": lambda service, _: service.close(),
    "another append": lambda service, other: service.append_event(other, an_event()),
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
def test_what_a_loop_did_not_get_to_before_it_was_closed_is_in_its_session(
    service: SessionService, free: threading.Event, later: Callable[[SessionService, Session], Awaitable[object]]
) -> None:
    async def awaited(call: Awaitable[object]) -> None:
        await call

    session, other = asyncio.run(a_session(service)), asyncio.run(a_session(service))
    loop = asyncio.new_event_loop()
    append = loop.create_task(service.append_event(session, an_event("1")))
    loop.run_until_complete(asyncio.sleep(0))
    free.set()
    service._commits._worker.finish()
    loop.close()
    asyncio.run(awaited(later(service, other)))
    wait_until(lambda: texts(session) == ["1"], "the session never got its event")
    del append


def test_closing_beside_appends_hangs_nobody(service: SessionService) -> None:
    async def appends(user: str) -> None:
        session = await a_session(service, user_id=user)
        for _ in range(20):
            await asyncio.wait_for(service.append_event(session, an_event()), timeout=60)

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(asyncio.run, appends(user)) for user in ("a", "b")]
        while not all(one.done() for one in work):
            service._commits.close()
        for one in work:
            one.result()


async def test_flush_waits_for_nothing_that_comes_later(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 4)  # so that there is always something in the queue
    going = True

    async def load() -> None:
        live = await a_session(service)
        event = an_event()
        while going:
            await service.append_event(live, event.model_copy(update={"id": str(len(live.events))}))

    loaded = [asyncio.ensure_future(load()) for _ in range(100)]
    while not service._commits._queue:
        await asyncio.sleep(0.05)
    session = await a_session(service)
    before = [asyncio.ensure_future(service.append_event(session, an_event())) for _ in range(5)]
    await asyncio.sleep(0)
    flushed = asyncio.ensure_future(service.flush())
    await asyncio.wait({flushed}, timeout=60)
    in_time, waited_for = flushed.done(), len(session.events)
    going = False
    await asyncio.gather(*loaded, *before, flushed)
    assert in_time and waited_for == 5
