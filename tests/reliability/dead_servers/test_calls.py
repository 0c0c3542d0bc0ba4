"""Servers that are slow, stopped or gone: every call ends in time, in an error that tells operation and server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis
from google.adk.sessions import Session
from pymongo.errors import PyMongoError
from support.dead_servers import (
    BOUND,
    MONGO,
    NAMES,
    PASSWORD,
    driver_error,
    patiently,
    patiently_async,
    service_on,
)
from support.ports import connections
from support.processes import pause, resume
from support.redis_cluster import RedisClusterServers
from support.servers import MongoServer, Server, wait_until

from adk_extra_sessions import MongoSessionStore, RedisSessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.doctor import Finding, examine
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids, texts


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

        def connections_of(call: Callable[..., Any], **names: str) -> int:
            with pytest.raises(redis.TimeoutError):
                call(**names)
            return connections(black_hole)

        with RedisSessionStore(f"redis://127.0.0.1:{black_hole.getsockname()[1]}", socket_timeout=0.1) as store:
            usual = connections_of(store.get_session, **NAMES)
            assert connections_of(store.list_sessions, app_name=APP, user_id=USER) == usual > 0
            assert connections_of(store.list_sessions, app_name=APP) == usual


@pytest.mark.servers
def test_a_server_that_stops_in_mid_conversation(stoppable: Server) -> None:
    async def main() -> None:
        service, first = service_on(stoppable), an_event("before")
        session = await patiently_async(lambda: service.get_or_create_session(**NAMES))
        await asyncio.gather(*(patiently_async(lambda: service.get_session(**NAMES)) for _ in range(5)))
        await patiently_async(lambda: service.append_event(session, first))
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
        again = await patiently_async(lambda: service.get_session(**NAMES))
        assert again is not None
        await patiently_async(lambda: service.append_event(again, event))
        found = await patiently_async(lambda: service.get_session(**NAMES))
        assert found is not None and ids(found) == ids(again)
        assert texts(found).count("again") == 1 and texts(found)[0] == "before"
        await service.close()

    asyncio.run(main())


@pytest.mark.servers
def test_the_doctor_waits_once_for_a_server_that_stops_after_it_has_answered(stoppable: Server) -> None:
    store = service_on(stoppable).store
    patiently(lambda: store.get_or_create_session(**NAMES))

    def begun() -> tuple[Finding, Iterator[Finding]]:
        findings = examine(store)
        return next(findings), findings

    first, findings = patiently(begun)
    assert first.text.startswith("answers in ")
    pause(stoppable.process)
    with pytest.raises(store.backend.driver_error, match="findings on "):
        next(findings)
    store.close()


@pytest.mark.servers
def test_a_batch_waits_for_a_dead_server_once() -> None:
    with (
        MongoServer() as server,
        MongoSessionStore(server.url, db_name="stopped", on_stale="append", **MONGO) as store,
    ):
        names = [{"app_name": APP, "user_id": USER, "session_id": str(number)} for number in range(200)]
        sessions = [patiently(lambda one=one: store.get_or_create_session(**one)) for one in names]
        appends = [(session, an_event()) for session in sessions]
        pause(server.process)
        begun = time.monotonic()
        ends = store.append_many(appends)
        assert time.monotonic() - begun < 100  # one by one it would be 200
        assert all(isinstance(end, PyMongoError) and str(end).startswith("append_event on ") for end in ends)
        resume(server.process)
        wait_until(
            lambda: not any(isinstance(end, Exception) for end in store.append_many(appends)), "it does not go on"
        )


@pytest.mark.servers
def test_a_dead_cluster_node_fails_its_own_part_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        RedisClusterServers(options=("--cluster-require-full-coverage", "no")) as cluster,
        redis.RedisCluster.from_url(cluster.url, cluster_error_retry_attempts=1) as client,
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
