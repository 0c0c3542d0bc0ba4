"""Appends cancelled at random moments, in every way there is: session and storage still agree, nothing leaks."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from conftest import BACKENDS, REAL
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from pymongo import MongoClient
from redis import Redis
from support.servers import MongoServer

from adk_extra_sessions.aio.basic_service import READ_THREADS
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.state import without_temp
from adk_extra_sessions.testing.contract.samples import a_session, an_event, stored

TRIES = 1000 // len(BACKENDS) + 1
"""On each backend: a thousand in all."""

AT_ONCE = 4
"""Appends under way at once: two on one session, and one on each of two others."""


async def by_task(call: Awaitable[Any], seconds: float) -> None:
    task = asyncio.ensure_future(call)
    if seconds > 0.0001:  # else before it has begun
        await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def by_wait_for(call: Awaitable[Any], seconds: float) -> None:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(call, seconds)


async def by_scope(call: Awaitable[Any], seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await call


RECENT = GetSessionConfig(num_recent_events=10)


async def agree(service: SessionService, live: Session, config: GetSessionConfig | None = RECENT) -> bool:
    """Whether a session is what storage has: by its newest events, or without a `config` by all."""
    found = await stored(service, live, config=config)
    return (
        found.events == (live.events if config is None else live.events[-10:])
        and without_temp(live.state).items() <= found.state.items()  # there are others' app: keys
        and live.last_update_time == found.last_update_time
        and live._storage_update_marker == found._storage_update_marker
    )


async def cancel_at_random(service: SessionService, seed: int) -> None:
    """Cancels one of some appends under way, again and again, and compares all with storage each time."""
    chance = random.Random(seed)
    sessions = [await a_session(service, user_id=str(number)) for number in range(AT_ONCE - 1)]
    took = 0.005
    for step in range(TRIES):
        targets = [sessions[0], *sessions]
        deltas = [{"key": step, "user:key": step, "temp:key": step, f"app:{one.user_id}": step} for one in targets]
        events = [an_event(str(step), delta=delta) for delta in deltas]
        appends = [service.append_event(one, event) for one, event in zip(targets, events, strict=True)]
        at = chance.randrange(AT_ONCE)
        live, victim = targets[at], appends.pop(at)
        how, moment = chance.choice([by_task, by_wait_for, by_scope]), chance.random() * took * 1.5
        began = time.perf_counter()
        await asyncio.gather(how(victim, moment), *appends)
        took += (min(time.perf_counter() - began, 0.05) - took) / 10
        assert await agree(service, live), f"seed {seed}, step {step}: {how.__name__} after {moment}"
    for live in sessions:
        await service.append_event(live, an_event("after"))
        assert await agree(service, live, config=None)


@pytest.fixture
def connections(backend: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], int]]:
    """Counts the connections of the server behind the backend; a fake has none."""
    server: Any = request.getfixturevalue(REAL[backend]) if backend in REAL else None
    if server is None:
        yield lambda: 0
    elif isinstance(server, MongoServer):
        everyone = {"$currentOp": {"allUsers": True, "idleConnections": True}}
        ours = {"$match": {"appName": "adk-extra-sessions"}}  # this client opens some too, when it likes
        with MongoClient(port=server.port, directConnection=True) as client:
            yield lambda: len(list(client.admin.aggregate([everyone, ours])))
    else:
        nodes = [Redis(port=node.port) for node in getattr(server, "nodes", [server])]
        yield lambda: sum(node.info("clients")["connected_clients"] for node in nodes)
        for node in nodes:
            node.close()


def test_a_thousand_cancelled_appends(
    make_service: Callable[..., SessionService], backend: str, connections: Callable[[], int]
) -> None:
    clients_before, others = connections(), set(threading.enumerate())
    service = make_service()

    async def once() -> None:
        await service.append_event(await a_session(service), an_event())

    asyncio.run(once())
    threads, clients = threading.active_count(), connections()
    asyncio.run(cancel_at_random(service, random.SystemRandom().randrange(1 << 32)))
    # Pymongo measures round trips by a thread and a connection that it opens later.
    assert threading.active_count() <= threads + READ_THREADS + 1
    assert connections() <= clients + READ_THREADS + 1
    asyncio.run(service.close())
    left = set(threading.enumerate()) - others  # another test's may still be ending
    assert not [thread.name for thread in left if thread.name.startswith("adk-")]
    if backend != "rediscluster":  # its client was given, and keeps its connections
        deadline = time.monotonic() + 120
        while connections() > clients_before:
            assert time.monotonic() < deadline, "connections are left"
            time.sleep(0.05)
