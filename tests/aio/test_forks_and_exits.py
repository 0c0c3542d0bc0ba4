"""A service in forked children, and when the interpreter exits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.sessions import Session
from support.processes import check_in_a_child
from support.servers import wait_until

from adk_extra_sessions.aio import group_commit
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.live_sessions import live_sessions
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, stored
from adk_extra_sessions.writer import Writer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_service_survives_fork(service: SessionService, backend: str) -> None:
    async def append() -> int:
        session = await service.get_session(app_name=APP, user_id=USER, session_id="one")
        session = session or await a_session(service, session_id="one")
        await service.append_event(session, an_event())
        return len((await stored(service, session)).events)

    assert asyncio.run(append()) == 1
    check_in_a_child(lambda: asyncio.run(append()) == 2)
    own = 1 if backend in ("fakeredis", "mongomock") else 2
    assert asyncio.run(append()) == own + 1


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_appends_under_way_at_exit_are_stored(
    storage: dict[str, Any], server: object, make_store: Callable[..., SessionStore]
) -> None:
    script = f"""
        import asyncio
        from adk_extra_sessions import MongoSessionService, RedisSessionService
        from adk_extra_sessions.testing.contract.samples import a_session, an_event

        service = {"RedisSessionService" if "redis_url" in storage else "MongoSessionService"}(**{storage!r})

        async def main():
            session = await a_session(service, session_id="one")
            for _ in range(50):
                asyncio.ensure_future(service.append_event(session, an_event()))
            await asyncio.sleep(0)

        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=200)
    found = make_store().get_session(app_name=APP, user_id=USER, session_id="one")
    assert found is not None and len(found.events) == 50


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_a_call_whose_loop_was_left_is_completed_at_exit(
    storage: dict[str, Any], server: object, make_store: Callable[..., SessionStore]
) -> None:
    script = f"""
        import asyncio, time
        from adk_extra_sessions import RedisSessionService

        # Before pymongo is imported, whose own handler is so called first, and stops its threads.
        RedisSessionService("redis://127.0.0.1:1")
        from adk_extra_sessions import MongoSessionService

        service = {"RedisSessionService" if "redis_url" in storage else "MongoSessionService"}(**{storage!r})
        create = service.store.create_session

        def create_later(**names):
            time.sleep(0.5)
            return create(**names)

        service.store.create_session = create_later
        loop = asyncio.new_event_loop()
        call = loop.create_task(service.create_session(app_name={APP!r}, user_id={USER!r}, session_id="one"))
        loop.run_until_complete(asyncio.sleep(0))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=200)
    assert make_store().get_session(app_name=APP, user_id=USER, session_id="one") is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_amid_a_write_blocks_no_session(service: SessionService) -> None:
    session = service.store.create_session(app_name=APP, user_id=USER)
    held, forked = threading.Event(), threading.Event()

    def writing() -> None:
        with live_sessions.storing([session]):
            held.set()
            forked.wait(timeout=60)

    thread = threading.Thread(target=writing)
    thread.start()
    assert held.wait(timeout=60)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        with live_sessions.storing([session]):
            os._exit(0)
    forked.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_stores_nothing_that_its_parent_has_queued(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [service.store.create_session(app_name=APP, user_id=USER) for _ in range(2)]
    write, begun, free = Writer.write, threading.Event(), threading.Event()

    def written_later(writer: Writer, appends: Any) -> None:
        begun.set()
        assert free.wait(timeout=120)
        write(writer, appends)

    async def append(session: Session, count: int) -> None:
        await asyncio.gather(*(service.append_event(session, an_event()) for _ in range(count)))

    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 1)
    monkeypatch.setattr(Writer, "write", written_later)
    parent = threading.Thread(target=asyncio.run, args=(append(sessions[0], 3),))
    parent.start()
    assert begun.wait(timeout=60)
    wait_until(lambda: len(service._commits._queue) == 2, "the appends are not in the queue")

    def own_alone_is_stored() -> bool:
        monkeypatch.setattr(Writer, "write", write)
        asyncio.run(append(sessions[1], 1))
        return [len(asyncio.run(stored(service, session)).events) for session in sessions] == [0, 1]

    try:
        check_in_a_child(own_alone_is_stored)
    finally:
        free.set()
        parent.join()


@pytest.mark.slow
@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_amid_appends_hang_nowhere(storage: dict[str, Any]) -> None:
    script = str(Path(__file__).parents[1] / "support" / "forked_children.py")
    subprocess.run([sys.executable, "-W", "ignore", script, json.dumps(storage)], check=True, timeout=270)


@pytest.mark.slow
@pytest.mark.not_on("fakeredis", "mongomock", "rediscluster")  # fakes have no connections to lose at exit
@pytest.mark.parametrize("first", [True, False], ids=["registered first", "registered last"])
@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_a_service_works_in_atexit_handlers(storage: dict[str, Any], first: bool, used: bool) -> None:
    script = f"""
        import asyncio, atexit

        def at_exit():
            async def last():
                session = await a_session(service, session_id="last")
                await service.append_event(session, an_event())
                await service.flush()
                assert len((await stored(service, session)).events) == 1
                await service.close()
            asyncio.run(service.flush())
            asyncio.run(last())
            asyncio.run(service.close())
            print("done")

        if {first}:
            atexit.register(at_exit)

        from adk_extra_sessions import MongoSessionService, RedisSessionService
        from adk_extra_sessions.testing.contract.samples import a_session, an_event, stored

        service = {"RedisSessionService" if "redis_url" in storage else "MongoSessionService"}(**{storage!r})
        if {used}:
            asyncio.run(a_session(service))
        if not {first}:
            atexit.register(at_exit)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ended = subprocess.run(command, check=True, timeout=200, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("done\n", "")
