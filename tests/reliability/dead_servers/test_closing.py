"""Closing a store or service, and leaving the interpreter, while the server does not answer."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest
from google.adk.sessions import Session
from support.dead_servers import BOUND, NAMES, driver_error
from support.servers import MongoServer, wait_until

from adk_extra_sessions import ClosedError, MongoSessionService, MongoSessionStore, RedisSessionService, usage
from adk_extra_sessions.aio import group_commit
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


def busy(service: SessionService) -> set[str]:
    """Of which pools threads use the store at the moment."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {names[ident].partition("_")[0] for ident in [*service.store._usage._threads] if ident in names}


@pytest.mark.parametrize("dead_port", ["black-hole"], indirect=True)
@pytest.mark.parametrize("scheme", ["redis", "mongodb"])
def test_closing_refuses_what_has_not_begun_after_a_minute(
    scheme: str, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "LONGEST", 0.7)  # a little longer than a call, as by default
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 10)  # so that together they take much longer
    service: SessionService
    if scheme == "redis":
        service = RedisSessionService(f"redis://127.0.0.1:{dead_port}", socket_timeout=0.05)
    else:
        service = MongoSessionService(f"mongodb://127.0.0.1:{dead_port}/shop", timeoutMS=600)

    async def main() -> None:
        sessions = [Session(app_name=APP, user_id=USER, id=str(number)) for number in range(600)]
        appends = asyncio.gather(*(service.append_event(one, an_event()) for one in sessions), return_exceptions=True)
        reads = asyncio.gather(*(service.get_session(**NAMES) for _ in range(100)), return_exceptions=True)
        await asyncio.to_thread(wait_until, lambda: busy(service) >= {"adk-append", "adk-sessions"}, "no call begins")
        await asyncio.wait_for(service.close(), BOUND)
        for errors in await appends, await reads:
            assert {type(error) for error in errors} > {ClosedError}
            assert all(isinstance(error, (ClosedError, driver_error(service))) for error in errors)

    asyncio.run(main())


@pytest.mark.servers
def test_closing_does_not_wait_for_a_dead_mongod() -> None:
    with MongoServer() as server:
        store = MongoSessionStore(server.url, "closed", timeoutMS=200_000)  # for which the driver would look for it
        store.create_session(**NAMES)
        server.kill()
        started = time.monotonic()
        store.close()
        assert time.monotonic() - started < BOUND


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
            [sys.executable, "-c", LEAVES, url, way], timeout=200, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 7, ended.stderr
