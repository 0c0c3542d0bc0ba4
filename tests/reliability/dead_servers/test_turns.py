"""A turn whose server stops: its run waits for the server once."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from google.adk.agents import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.apps import App
from google.adk.events import Event
from google.adk.runners import Runner
from google.genai import types
from support.dead_servers import BOUND, NAMES, driver_error, service_on
from support.processes import pause, resume
from support.servers import RedisServer, Server

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, TurnPlugin
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
        with store.turn(**NAMES):
            pause(stoppable.process)
            store.get_session(**NAMES)

    with pytest.raises(store.backend.driver_error):
        run()
    assert NOT_GIVEN_BACK not in caplog.text
    resume(stoppable.process)
    with store.turn(**NAMES):  # it has ended by itself
        pass
    store.close()


class StopsItsServer(BaseAgent):
    """An agent whose server stops while it runs."""

    server: Any

    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncGenerator[Event, None]:
        pause(self.server.process)
        yield an_event("in vain")


@pytest.mark.servers
def test_a_run_with_the_plugin_waits_for_a_server_that_stops_once(
    stoppable: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "LEASE", 0.5)
    service = service_on(stoppable)
    app = App(name=APP, root_agent=StopsItsServer(name="agent", server=stoppable), plugins=[TurnPlugin()])
    runner = Runner(app=app, session_service=service)

    async def main() -> None:
        await service.create_session(**NAMES)
        message = types.UserContent("hello")
        async for _ in runner.run_async(user_id=USER, session_id="one", new_message=message):
            pass

    with pytest.raises(driver_error(service)):
        asyncio.run(main())
    assert NOT_GIVEN_BACK not in caplog.text
    asyncio.run(service.close())


@pytest.mark.servers
@pytest.mark.parametrize("begun_anew", [False, True])
def test_ctrl_c_ends_the_wait_for_a_server_that_does_not_take_a_turn_back(
    stoppable: Server, monkeypatch: pytest.MonkeyPatch, begun_anew: bool
) -> None:
    monkeypatch.setattr(turn, "PROMPT", BOUND if begun_anew else 0.1)
    if begun_anew:
        store = service_on(stoppable).store
    elif isinstance(stoppable, RedisServer):
        store = RedisSessionStore(stoppable.url)
    else:
        store = MongoSessionStore(stoppable.url, "stopped")
    begun = time.monotonic()

    def run() -> None:
        with store, store.turn(**NAMES):
            pause(stoppable.process)
            main = threading.main_thread().ident
            assert main is not None
            threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.monotonic() - begun < BOUND  # with their defaults, the drivers wait longer
