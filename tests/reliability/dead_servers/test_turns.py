"""A turn whose server stops: its run waits for the server once."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from typing import Any

import pymongo
import pytest
from google.adk.agents import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.apps import App
from google.adk.events import Event
from google.adk.runners import Runner
from google.genai import types
from support.dead_servers import BOUND, NAMES, driver_error, patiently, patiently_async, service_on
from support.processes import pause, resume
from support.servers import RedisServer, Server

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore, TurnPlugin
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event
from adk_extra_sessions.turns import queue, turn

NOT_GIVEN_BACK = "the turn could not be given back"


def test_a_turn_that_cannot_be_had_waits_for_a_dead_server_once(
    dead_service: SessionService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "LEASE", 0.2)  # by default less than a wait, too

    async def take() -> None:
        async with dead_service.turn(**NAMES):
            pass

    def take_blocking() -> None:
        with dead_service.store.turn(**NAMES):
            pass

    async def main() -> None:
        ends = await asyncio.gather(take(), asyncio.to_thread(take_blocking), return_exceptions=True)
        assert all(isinstance(end, driver_error(dead_service)) for end in ends)

    asyncio.run(asyncio.wait_for(main(), BOUND))
    assert NOT_GIVEN_BACK not in caplog.text  # it was not tried


@pytest.mark.servers
def test_a_run_in_a_turn_waits_for_a_server_that_stops_once(
    stoppable: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "LEASE", 0.5)
    store = service_on(stoppable).store

    def run() -> None:
        with ExitStack() as stack:
            patiently(lambda: stack.enter_context(store.turn(**NAMES)))
            caplog.clear()
            pause(stoppable.process)
            store.get_session(**NAMES)

    with pytest.raises(store.backend.driver_error):
        run()
    assert NOT_GIVEN_BACK not in caplog.text
    resume(stoppable.process)
    with ExitStack() as stack:  # it has ended by itself
        patiently(lambda: stack.enter_context(store.turn(**NAMES)))
    store.close()


class StopsItsServer(BaseAgent):
    """An agent whose server stops while it runs."""

    server: Any
    paused: bool = False

    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncGenerator[Event, None]:
        pause(self.server.process)
        self.paused = True
        yield an_event("in vain")


@pytest.mark.servers
def test_a_run_with_the_plugin_waits_for_a_server_that_stops_once(
    stoppable: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "LEASE", 0.5)
    service = service_on(stoppable)
    agent = StopsItsServer(name="agent", server=stoppable)
    app = App(name=APP, root_agent=agent, plugins=[TurnPlugin()])
    runner = Runner(app=app, session_service=service)

    async def main() -> None:
        await patiently_async(lambda: service.get_or_create_session(**NAMES))
        message = types.UserContent("hello")
        while not agent.paused:  # else the server was too slow to begin the run
            caplog.clear()
            with pytest.raises(driver_error(service)):
                async for _ in runner.run_async(user_id=USER, session_id="one", new_message=message):
                    pass

    asyncio.run(main())
    assert NOT_GIVEN_BACK not in caplog.text
    asyncio.run(service.close())


@pytest.mark.servers
@pytest.mark.parametrize("begun_anew", [False, True])
def test_ctrl_c_ends_the_wait_for_a_server_that_does_not_take_a_turn_back(
    stoppable: Server, monkeypatch: pytest.MonkeyPatch, begun_anew: bool
) -> None:
    monkeypatch.setattr(turn, "PROMPT", BOUND if begun_anew else 0.0)
    store: SessionStore
    if isinstance(stoppable, RedisServer):
        store = RedisSessionStore(stoppable.url, socket_timeout=BOUND)  # and four tries
    else:
        store = MongoSessionStore(stoppable.url, "stopped", timeoutMS=4000 * BOUND)
    left, waits, tries = turn.Turn._left, threading.Event(), 0

    def observed(self: turn.Turn) -> bool:
        nonlocal tries
        tries += 1
        waits.set()
        if tries == 1:
            return left(self)
        stoppable.kill()
        with pymongo.timeout(1):  # Redis's driver does not wait for a server that is gone
            return left(self)

    def interrupt() -> None:
        assert waits.wait(BOUND)
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def run() -> None:
        with store, store.turn(**NAMES):
            pause(stoppable.process)
            monkeypatch.setattr(turn.Turn, "_left", observed)
            threading.Thread(target=interrupt).start()

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.monotonic() - begun < 2 * BOUND
    assert tries == (2 if begun_anew else 1)
