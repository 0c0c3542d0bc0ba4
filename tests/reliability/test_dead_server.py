"""Servers that are slow, stopped or gone: every call ends in time, in an error that tells operation and server."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis
from google.adk.agents import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.apps import App
from google.adk.events import Event
from google.adk.runners import Runner
from google.adk.sessions import Session
from google.genai import types
from pymongo.errors import PyMongoError
from support.processes import pause, resume
from support.redis_cluster import RedisClusterServers
from support.servers import MongoServer, RedisServer, Server

from adk_extra_sessions import (
    ClosedError,
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
    TurnPlugin,
    usage,
)
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids, texts
from adk_extra_sessions.turns import queue, turn

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}
PASSWORD = "swordfish"
BOUND = 20.0
"""Seconds in which every call must have ended: ten times what the timeouts below add up to."""

REDIS = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}
MONGO = {"timeoutMS": 1000, "connectTimeoutMS": 500, "serverSelectionTimeoutMS": 1000}


def driver_error(service: SessionService) -> type[Exception]:
    return redis.RedisError if isinstance(service, RedisSessionService) else PyMongoError


async def errors_of_all_calls(service: SessionService, session: Session) -> dict[str, BaseException]:
    """Starts every call at once and returns how each ended."""
    calls: dict[str, Awaitable[Any]] = {
        "create_session": service.create_session(app_name=APP, user_id=USER),
        "get_session": service.get_session(**NAMES),
        "list_sessions": service.list_sessions(app_name=APP),
        "delete_session": service.delete_session(app_name=APP, user_id=USER, session_id="other"),
        "get_user_state": service.get_user_state(app_name=APP, user_id=USER),
        "append_event": service.append_event(session, an_event("in vain")),
        "ping": asyncio.to_thread(service.store.ping),
    }
    ends = await asyncio.wait_for(asyncio.gather(*calls.values(), return_exceptions=True), BOUND)
    return dict(zip(calls, ends, strict=True))


def assert_told(service: SessionService, ends: dict[str, BaseException], port: int) -> None:
    for operation, error in ends.items():
        assert isinstance(error, driver_error(service)), (operation, error)
        assert str(error).startswith(f"{operation} on ")
        assert f"127.0.0.1:{port}" in str(error)
        assert PASSWORD not in f"{error!r} {error}"


@pytest.fixture(params=["black-hole", "refused", "full-backlog"])
def dead_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port of a host that takes connections and never answers, refuses them, or does not even take them."""
    with ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if request.param == "black-hole":
            listener.listen(1000)
        elif request.param == "full-backlog":
            listener.listen(0)
            for _ in range(3):
                waiting = open_sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
        yield port  # bound, and so nobody else's, even where nobody listens


@pytest.fixture(params=["redis", "mongodb"])
def dead_service(request: pytest.FixtureRequest, dead_port: int) -> SessionService:
    """A service of a server that is not there."""
    if request.param == "redis":
        return RedisSessionService(f"redis://ada:{PASSWORD}@127.0.0.1:{dead_port}/0", **REDIS)
    return MongoSessionService(f"mongodb://ada:{PASSWORD}@127.0.0.1:{dead_port}/shop", **MONGO)


def test_every_call_ends_in_an_error_that_tells_where(dead_service: SessionService, dead_port: int) -> None:
    async def main() -> None:
        session = Session(app_name=APP, user_id=USER, id="one")
        assert_told(dead_service, await errors_of_all_calls(dead_service, session), dead_port)
        assert session.events == []
        await asyncio.wait_for(dead_service.flush(), BOUND)
        await asyncio.wait_for(dead_service.close(), BOUND)

    asyncio.run(main())


def test_a_list_on_redis_waits_for_a_dead_server_as_often_as_other_reads() -> None:
    with socket.socket() as black_hole:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen(100)
        black_hole.setblocking(False)

        def connections_of(call: Callable[..., Any], **names: str) -> int:
            with pytest.raises(redis.TimeoutError):
                call(**names)
            count = 0
            with suppress(BlockingIOError):
                while True:
                    black_hole.accept()[0].close()
                    count += 1
            return count

        with RedisSessionStore(f"redis://127.0.0.1:{black_hole.getsockname()[1]}", socket_timeout=0.1) as store:
            usual = connections_of(store.get_session, **NAMES)
            assert connections_of(store.list_sessions, app_name=APP, user_id=USER) == usual > 0
            assert connections_of(store.list_sessions, app_name=APP) == usual


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


@pytest.mark.parametrize("dead_port", ["black-hole"], indirect=True)
@pytest.mark.parametrize("scheme", ["redis", "mongodb"])
def test_closing_refuses_what_has_not_begun_after_a_minute(
    scheme: str, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "LONGEST", 0.7)  # a little longer than a call, as by default
    service: SessionService
    if scheme == "redis":
        service = RedisSessionService(f"redis://127.0.0.1:{dead_port}", socket_timeout=0.05)
    else:
        service = MongoSessionService(f"mongodb://127.0.0.1:{dead_port}/shop", timeoutMS=600)

    async def main() -> None:
        sessions = [Session(app_name=APP, user_id=USER, id=str(number)) for number in range(600)]
        appends = asyncio.gather(*(service.append_event(one, an_event()) for one in sessions), return_exceptions=True)
        reads = asyncio.gather(*(service.get_session(**NAMES) for _ in range(100)), return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.wait_for(service.close(), BOUND)
        for errors in await appends, await reads:
            assert {type(error) for error in errors} > {ClosedError}
            assert all(isinstance(error, (ClosedError, driver_error(service))) for error in errors)

    asyncio.run(main())


@pytest.mark.servers
def test_closing_does_not_wait_for_a_dead_mongod() -> None:
    """By default, the driver looks for it for 20 seconds."""
    with MongoServer() as server:
        store = MongoSessionStore(server.url, "closed")
        store.create_session(**NAMES)
        server.kill()
        started = time.monotonic()
        store.close()
        assert time.monotonic() - started < BOUND / 2


@pytest.fixture(params=["redis", "mongod"])
def stoppable(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own."""
    with RedisServer() if request.param == "redis" else MongoServer() as server:
        yield server


def service_on(server: Server, **options: Any) -> SessionService:
    if isinstance(server, RedisServer):
        return RedisSessionService(server.url, **REDIS, **options)
    return MongoSessionService(server.url, "stopped", **MONGO, **options)  # type: ignore[attr-defined]


@pytest.mark.servers
def test_a_server_that_stops_in_mid_conversation(stoppable: Server) -> None:
    async def main() -> None:
        service = service_on(stoppable)
        session = await service.create_session(**NAMES)
        await asyncio.gather(*(service.get_session(**NAMES) for _ in range(5)))
        await service.append_event(session, an_event("before"))
        before = session.model_copy(deep=True)
        pause(stoppable.process)
        ends = await errors_of_all_calls(service, session)
        assert_told(service, ends, stoppable.port)
        event = an_event("again", delta={"user:count": 1})
        with pytest.raises(driver_error(service)):
            await asyncio.wait_for(service.append_event(session, event), BOUND)
        assert session == before
        resume(stoppable.process)
        # The same service and live session go on. Whether the server did what it
        # was sent before it stopped is unknown: one event was never sent again.
        session = await service.get_session(**NAMES)
        assert session is not None
        await service.append_event(session, event)
        found = await service.get_session(**NAMES)
        assert found is not None and ids(found) == ids(session)
        assert texts(found).count("again") == 1 and texts(found)[0] == "before"
        await service.close()

    asyncio.run(main())


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
        store = MongoSessionStore(stoppable.url, "stopped")  # type: ignore[attr-defined]
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


@pytest.mark.servers
def test_a_batch_waits_for_a_dead_server_once() -> None:
    with (
        MongoServer() as server,
        MongoSessionStore(server.url, db_name="stopped", on_stale="append", **MONGO) as store,
    ):
        sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(20)]
        pause(server.process)
        begun = time.monotonic()
        ends = store.append_many((session, an_event()) for session in sessions)
        assert time.monotonic() - begun < 10  # one by one it would be 20
        assert all(isinstance(end, PyMongoError) and str(end).startswith("append_event on ") for end in ends)
        resume(server.process)
        assert all(not isinstance(end, Exception) for end in store.append_many((one, an_event()) for one in sessions))


@pytest.mark.servers
def test_a_dead_cluster_node_fails_its_own_part_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        RedisClusterServers(options=("--cluster-require-full-coverage", "no")) as cluster,
        redis.RedisCluster.from_url(cluster.url, **REDIS, cluster_error_retry_attempts=1) as client,
    ):
        store = RedisSessionStore(client=client)
        sessions = [store.create_session(app_name=APP, user_id=f"user{number}") for number in range(60)]
        victim = cluster.nodes[1]
        ports = [client.get_node_from_key(f"{{{APP}/{session.user_id}}}").port for session in sessions]
        assert ports.count(victim.port) > 5
        victim.kill()
        tried: list[int] = []
        run = scripts.run

        def counted(cluster: Any, call: scripts.Call) -> Any:
            tried.append(cluster.get_node_from_key(call.keys[0]).port)
            return run(cluster, call)

        monkeypatch.setattr(scripts, "run", counted)
        ends = store.append_many((session, an_event()) for session in sessions)
        for port, end in zip(ports, ends, strict=True):
            assert isinstance(end, redis.RedisError) == (port == victim.port), (port, end)
        assert tried.count(victim.port) == 1


def test_defaults_bound_every_wait() -> None:
    with RedisSessionStore("redis://host") as store:
        pool = store.client.connection_pool
        options = pool.connection_kwargs
        assert (options["socket_timeout"], options["socket_connect_timeout"], pool.timeout) == (10, 5, 20)
        # Four tries of ten seconds, and less than one second between them.
        assert options["retry"]._retries == 3
        assert sum(options["retry"]._backoff.compute(failures) for failures in (1, 2, 3)) < 1
        assert not options.get("health_check_interval")  # which would try as often again
    with MongoSessionStore("mongodb://host/shop", connect=False) as mongo:
        assert mongo.client.options.timeout == mongo.client.options.server_selection_timeout == 20
        assert mongo.client.options.pool_options.connect_timeout == 5


LEAVES = """
import asyncio, sys, threading
from google.adk.sessions import Session
from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.testing.contract.samples import an_event

url, way = sys.argv[1:]
if url.startswith("redis"):
    service = RedisSessionService(url, socket_timeout=0.1)
else:
    service = MongoSessionService(url, "shop", timeoutMS=500, serverSelectionTimeoutMS=500)

async def main():
    for number in range(300):
        session = Session(app_name="app", user_id="user", id=str(number))
        append = asyncio.ensure_future(service.append_event(session, an_event()))
        append.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.sleep(0.1)
    if way == "exit":
        sys.exit(7)
    started.set()
    await asyncio.sleep(1000)

started = threading.Event()
if way == "exit":
    asyncio.run(main())
threading.Thread(target=asyncio.run, args=[main()], daemon=True).start()
started.wait()
sys.exit(7)
"""


@pytest.mark.parametrize("way", ["exit", "loop-in-a-daemon-thread"])
@pytest.mark.parametrize("scheme", ["redis", "mongodb"])
def test_the_interpreter_ends_with_appends_in_the_queue(scheme: str, way: str) -> None:
    with socket.socket() as black_hole:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen(1000)
        url = f"{scheme}://127.0.0.1:{black_hole.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-c", LEAVES, url, way], timeout=60, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 7, ended.stderr
