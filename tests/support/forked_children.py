"""Forks a process whose threads append all the time, again and again: `python forked_children.py STORAGE`.

In each child two threads make the first calls, and then the service is closed. The
parent's threads hold every lock now and then; a child must not wait for any of them.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from google.adk.sessions import Session

from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.records import AppendOutcome, AppendRequest
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

CHILDREN = 100

storage = json.loads(sys.argv[1])
service = (RedisSessionService if "redis_url" in storage else MongoSessionService)(**storage)
sessions = [service.store.create_session(app_name=APP, user_id=USER) for _ in range(3)]
service.store.append_event(sessions[0], an_event())  # what pydantic locks, it locks at the first use


async def append_on(loaded: threading.Event, enough: threading.Event) -> None:
    while not enough.is_set():
        await service.append_event(sessions[0], an_event())
        await service.ping()
        loaded.set()


def stored_by_nobody(requests: Sequence[AppendRequest]) -> list[AppendOutcome]:
    return [AppendOutcome([int(request.expected or 0) + 1]) for request in requests]


async def first_calls(session: Session, together: threading.Barrier) -> None:
    together.wait()
    await service.append_event(session, an_event())
    await service.ping()


def in_child() -> None:
    faulthandler.dump_traceback_later(60, exit=True)
    # The drivers' and fakes' own locks are not what this is about.
    service.store.backend.append = stored_by_nobody  # type: ignore[method-assign]
    service.store.ping = lambda: None  # type: ignore[method-assign]
    together = threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda session: asyncio.run(first_calls(session, together)), sessions[1:]))
    service._commits.close()
    service._threads.close()


def fork() -> None:
    child = os.fork()
    if child == 0:
        try:
            in_child()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    loaded, enough = threading.Event(), threading.Event()
    parent = threading.Thread(target=asyncio.run, args=(append_on(loaded, enough),))
    sys.setswitchinterval(1e-5)
    parent.start()
    try:
        assert loaded.wait(60)
        for _ in range(CHILDREN):
            fork()
            time.sleep(0.002)
    finally:
        enough.set()
        parent.join()


if __name__ == "__main__":
    main()
