"""How many bytes the server needs for sessions, values of state, and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adk_extra_sessions import MongoSessionStore, RedisSessionStore
from adk_extra_sessions.store import SessionStore
from benchmarks.budgets import Result
from benchmarks.measure import progress
from benchmarks.workload import APP, events, json_bytes

SESSIONS = 5000
EVENTS = 5000
SHORT = {"plan": "gold", "step": 3}
LONG = {"note": "x" * 100}
"""Redis stores a hash with a value of more than 64 bytes in another way."""


def storage_size(store: RedisSessionStore | MongoSessionStore, backend: str) -> list[Result]:
    """Stores sessions and events, and asks the server how much larger it has become for each."""

    def size() -> float:
        if isinstance(store, RedisSessionStore):
            return float(store.client.info("memory")["used_memory"])
        database = store.backend.database
        names = ("sessions", "event_chunks", "state")
        return float(sum(database.command("collStats", name).get("size", 0) for name in names))

    def growth(fill: Callable[[], int]) -> float:
        before = size()
        count = fill()
        return (size() - before) / count

    progress(f"{backend}: bytes")
    store.create_session(app_name=APP, user_id="before the first measurement")
    session = growth(lambda: _sessions(store, "one", {}))
    of_a_new_user = growth(lambda: _sessions(store, None, {}))
    short = (growth(lambda: _sessions(store, "short", SHORT)) - session) / len(SHORT)
    long = growth(lambda: _sessions(store, "long", LONG)) - session
    event = growth(lambda: _events(store)) - json_bytes()
    return [
        Result(backend, "bytes of a session", session, 550),
        Result(backend, "bytes of the first session of a user", of_a_new_user, 750),
        Result(backend, "bytes of a short value of state", short, 70),
        Result(backend, "bytes of a state of 100 bytes at creation", long, 1300),
        Result(backend, "bytes of an event beyond its JSON", event, 80),
    ]


def _sessions(store: SessionStore, user: str | None, state: dict[str, Any]) -> int:
    for number in range(SESSIONS):
        store.create_session(app_name=APP, user_id=user or f"user {number}", state=state)
    return SESSIONS


def _events(store: SessionStore) -> int:
    session = store.create_session(app_name=APP, user_id="events")
    store.append_many((session, one) for one in events(EVENTS))
    assert len(session.events) == EVENTS
    return EVENTS
