"""The queue in front of a store: what travels together, and what it survives."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adk_extra_sessions import group_commit
from adk_extra_sessions.contract.samples import APP, USER, a_session, an_event, ids, stored
from adk_extra_sessions.records import AppendRequest
from adk_extra_sessions.service import SessionService

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def batches(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each call of the backend stored."""
    seen: list[int] = []
    store = service.store
    send = store._append

    def counted(requests: Sequence[AppendRequest]) -> Any:
        seen.append(sum(len(request.events) for request in requests))
        return send(requests)

    monkeypatch.setattr(store, "_append", counted)
    return seen


async def test_appends_that_wait_together_travel_together(service: SessionService, batches: list[int]) -> None:
    sessions = [await a_session(service) for _ in range(40)]
    await asyncio.gather(*(service.append_event(session, an_event()) for session in sessions))
    assert sum(batches) == 40
    assert len(batches) < 20


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


async def test_many_events_of_one_session_keep_their_order(service: SessionService, batches: list[int]) -> None:
    session = await a_session(service)
    events = [an_event(str(number)) for number in range(150)]
    await asyncio.gather(*(service.append_event(session, event) for event in events))
    assert ids(await stored(service, session)) == ids(session) == [event.id for event in events]
    assert len(batches) < 50


async def test_a_caller_who_is_cancelled_as_the_outcome_comes_changes_no_order(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = await a_session(service), await a_session(service)
    write, all_queued, complete = service.store._write, threading.Event(), group_commit._complete

    def written_when_all_are_queued(appends: Any) -> None:
        assert all_queued.wait(timeout=30)
        write(appends)

    def after_a_cancellation(batch: Any) -> None:
        tasks[-1].cancel()
        complete(batch)

    monkeypatch.setattr(service.store, "_write", written_when_all_are_queued)
    monkeypatch.setattr(group_commit, "_complete", after_a_cancellation)
    events = [an_event(str(number), delta={"key": number}) for number in range(3)]
    tasks = [asyncio.ensure_future(service.append_event(other, an_event()))]
    tasks += [asyncio.ensure_future(service.append_event(session, event)) for event in events]
    await asyncio.sleep(0.01)
    all_queued.set()
    await asyncio.wait(tasks)
    found = await stored(service, session)
    assert found == session and ids(found) == [event.id for event in events]


async def test_a_server_error_reaches_every_caller_and_the_queue_goes_on(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [await a_session(service) for _ in range(4)]

    def broken(requests: Sequence[AppendRequest]) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "_append", broken)
        appends = (service.append_event(session, an_event()) for session in sessions)
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 4
    for session in sessions:
        assert session.events == []
        await service.append_event(session, an_event())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_service_survives_fork(service: SessionService, backend: str) -> None:
    async def append() -> int:
        session = await service.get_session(app_name=APP, user_id=USER, session_id="one")
        session = session or await a_session(service, session_id="one")
        await service.append_event(session, an_event())
        return len((await stored(service, session)).events)

    assert asyncio.run(append()) == 1
    child = os.fork()
    if child == 0:
        os._exit(asyncio.run(append()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    own = 1 if backend in ("fakeredis", "mongomock") else 2
    assert asyncio.run(append()) == own + 1


def test_appends_under_way_at_exit_are_stored(storage: dict[str, Any], server: object) -> None:
    if "client" in storage:
        pytest.skip("a client cannot be passed to another process")
    script = f"""
        import asyncio
        from adk_extra_sessions import MongoSessionService, RedisSessionService
        from adk_extra_sessions.contract.samples import a_session, an_event

        service = {"RedisSessionService" if "redis_url" in storage else "MongoSessionService"}(**{storage!r})

        async def main():
            session = await a_session(service, session_id="one")
            for _ in range(50):
                asyncio.ensure_future(service.append_event(session, an_event()))
            await asyncio.sleep(0)

        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    from adk_extra_sessions import MongoSessionStore, RedisSessionStore

    cls: Callable[..., Any] = RedisSessionStore if "redis_url" in storage else MongoSessionStore
    with cls(**storage) as store:
        assert len(store.get_session(app_name=APP, user_id=USER, session_id="one").events) == 50


async def test_no_thread_to_be_had_is_an_error_and_not_a_wait_for_ever(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await a_session(service)

    def refuse(call: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(service._commits._worker, "start", refuse)
        with pytest.raises(RuntimeError, match="thread"):
            await service.append_event(session, an_event())
    await asyncio.wait_for(service.append_event(session, an_event()), timeout=20)
    assert len(session.events) == 1


def test_closing_beside_appends_hangs_nobody(service: SessionService) -> None:
    async def appends(user: str) -> None:
        session = await a_session(service, user_id=user)
        for _ in range(20):
            await asyncio.wait_for(service.append_event(session, an_event()), timeout=20)

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(asyncio.run, appends(user)) for user in ("a", "b")]
        while not all(one.done() for one in work):
            service._commits.close()
        for one in work:
            one.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_amid_a_write_blocks_no_session(service: SessionService) -> None:
    session = service.store.create_session(app_name=APP, user_id=USER)
    with service.store._live.holding([session]):
        child = os.fork()
        if child == 0:
            with service.store._live.holding([session]):
                os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


async def test_whatever_goes_wrong_in_a_batch_is_told(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await a_session(service)

    def broken(appends: Any) -> None:
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "_write", broken)
        with pytest.raises(MemoryError):
            await service.append_event(session, an_event())
    assert session.events == []
    await service.append_event(session, an_event())
