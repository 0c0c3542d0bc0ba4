"""A short lease, and another process that holds a turn."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adk_extra_sessions.turns import queue

HOLDER = """
import sys, time
from adk_extra_sessions import MongoSessionStore, RedisSessionStore
from adk_extra_sessions.turns import queue
queue.LEASE = float(sys.argv[2])
arguments = eval(sys.argv[1])
cls = RedisSessionStore if "prefix" in arguments else MongoSessionStore
with cls(**arguments) as store, store.turn(app_name="shop", user_id="ada", session_id="s1"):
    print("held", flush=True)
    sys.stdin.readline()
print("given back", flush=True)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> float:
    """A lease that a test can wait for."""
    monkeypatch.setattr(queue, "LEASE", 1.5)
    return 1.5


@pytest.fixture
def renewing() -> Callable[[], list[threading.Thread]]:
    """Returns the threads that renew turns and were started since the test began."""
    before = {*threading.enumerate()}
    return lambda: [one for one in threading.enumerate() if one.name == "adk-turns" and one not in before]


@pytest.fixture
def other_process(server: object, storage: dict[str, Any], short_lease: float) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the turn."""
    command = [sys.executable, "-c", HOLDER, repr(storage), str(short_lease)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
