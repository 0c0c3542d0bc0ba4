"""Whether an operation's cost depends on how many sessions of other users are stored, and memory on how long we run."""

from __future__ import annotations

import gc
import time
import uuid
from pathlib import Path
from typing import Any

from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions import MongoSessionStore, RedisSessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.backends.mongodb import documents
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.details import SessionDetails
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.state import StateTexts
from adk_extra_sessions.store import SessionStore
from benchmarks.budgets import Result, ms
from benchmarks.measure import Operation, medians, progress
from benchmarks.workload import APP, a_session, event

FEW = 1000
STATE = StateTexts({"plan": '"gold"', "steps": "[1,2,3]"})


def fill(store: SessionStore, count: int, start: int) -> None:
    """Stores sessions of users of their own, many in one round trip."""
    for begin in range(start, start + count, 5000):
        progress(f"{begin} of {start + count} sessions")
        batch = [_new(number) for number in range(begin, min(begin + 5000, start + count))]
        if isinstance(store, MongoSessionStore):
            dates = store.backend.expiry.expires_at(), store.backend.expiry.chunks_expire_at()
            store.backend.sessions.insert_many([documents.new_session(one, *dates, []) for one in batch], ordered=False)
        elif isinstance(store, RedisSessionStore):
            scripts.run_many(store.client, [store.backend.lifecycle.create_call(one) for one in batch])


def _new(number: int) -> NewSession:
    key = SessionKey(APP, f"other-{number}", str(uuid.uuid4()))
    return NewSession(key, time.time_ns() // 1000, uuid.uuid4().hex, STATE, SessionDetails(create_time=time.time()))


async def growth(service: SessionService, backend: str, many: int, rounds: int) -> list[Result]:
    """Times every operation beside a thousand sessions of others, then beside very many."""
    fill(service.store, FEW, 0)
    before = await _times(service, rounds)
    fill(service.store, many - FEW, FEW)
    after = await _times(service, rounds)
    return [
        Result(
            backend,
            f"{name} with {many:,} sessions stored / with {FEW:,}",
            after[name] / before[name],
            1.2,
            detail=f"{ms(after[name])} / {ms(before[name])}",
        )
        for name in before
    ]


async def _times(service: SessionService, rounds: int) -> dict[str, float]:
    session = await a_session(service, "grower", 200)
    names: dict[str, Any] = {"app_name": APP, "user_id": "grower", "session_id": session.id}
    made: list[str] = []

    async def create() -> None:
        made.append((await service.create_session(app_name=APP, user_id="creator")).id)

    operations: dict[str, Operation] = {
        "append": lambda: service.append_event(session, event()),
        "append with app: and user: keys": lambda: service.append_event(session, event({"app:a": 1, "user:a": 1})),
        "get": lambda: service.get_session(**names),
        "recent-20": lambda: service.get_session(**names, config=GetSessionConfig(num_recent_events=20)),
        "list of one user": lambda: service.list_sessions(app_name=APP, user_id="grower"),
        "create": create,
        "delete": lambda: service.delete_session(app_name=APP, user_id="creator", session_id=made.pop()),
    }
    return await medians(operations, rounds=rounds)


async def soak(service: SessionService, backend: str, appends: int) -> list[Result]:
    """Measures the process's memory over very many appends to sessions that come and go."""
    start = 0
    for number in range(appends):
        if number % 200 == 0:
            session = await a_session(service, f"soaker-{number % 1000}")
        await service.append_event(session, event())
        if number == appends // 5:
            start = _memory()
        if number % 10_000 == 0:
            progress(f"{number} of {appends} appends, {_memory() / 1e6:.0f} MB")
    end = _memory()
    detail = f"{start / 1e6:.1f} MB after {appends // 5:,}, {end / 1e6:.1f} MB after {appends:,}"
    return [
        Result(
            backend, f"memory of the process over {appends:,} appends, end / start", end / start, 1.05, detail=detail
        )
    ]


def _memory() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
