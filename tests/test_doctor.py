"""What the doctor says of servers and indexes that are not in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support.ports import refused_port

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.redis import doctor as redis_doctor
from adk_extra_sessions.doctor import Finding, Level, examine
from adk_extra_sessions.testing.contract.samples import APP, an_event

HEALTHY = {
    "redis_version": "7.0.15",
    "used_memory": 2**20,
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
}


class Told:
    """A server that tells this about itself."""

    def __init__(self, **told: Any) -> None:
        self._told = told

    def info(self) -> dict[str, Any]:
        return self._told


def worst(findings: Iterable[Finding]) -> list[tuple[Level, str]]:
    found = [one for one in findings if one.level is not Level.OK]
    assert all(one.remedy for one in found)
    return [(one.level, one.subject) for one in found]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, []),
        ({"redis_version": "5.0.14"}, [(Level.PROBLEM, "version")]),
        ({"maxmemory": 2**20 + 10}, [(Level.PROBLEM, "memory")]),
        ({"maxmemory": 2**30}, []),
        ({"maxmemory_policy": "allkeys-lru"}, [(Level.PROBLEM, "eviction")]),
        ({"aof_enabled": 0}, [(Level.NOTE, "durability")]),
    ],
)
def test_redis(told: dict[str, Any], expected: list[tuple[Level, str]]) -> None:
    assert worst(redis_doctor.findings(Told(**{**HEALTHY, **told}))) == expected


def test_valkey() -> None:
    told = {**HEALTHY, "redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}
    assert "Valkey 9.1.2" in [one.text for one in redis_doctor.findings(Told(**told))]


@pytest.mark.parametrize("store", ["redis", "mongodb"])
def test_a_server_that_does_not_answer(store: str) -> None:
    with refused_port() as port:
        url = f"{store}://user:hunter2@127.0.0.1:{port}"
        redis = store == "redis"
        with RedisSessionStore(url) if redis else MongoSessionStore(f"{url}/db?serverSelectionTimeoutMS=200") as made:
            (finding,) = examine(made)
    assert (finding.level, finding.subject) == (Level.PROBLEM, "server")
    assert "hunter2" not in finding.text


def test_mongodb_indexes_and_expiry(store: SessionStore, make_store: Callable[..., SessionStore]) -> None:
    store.create_session(app_name=APP, user_id="u", session_id="s")
    if not isinstance(store, MongoSessionStore):
        assert not [one for one in examine(store) if one.subject in ("indexes", "expiry")]
        return
    assert worst(examine(store)) == []
    assert worst(examine(make_store(ttl="1h"))) == []  # it writes other dates, into the same indexes
    sessions, chunks = (store.client[store.db_name][name] for name in ("sessions", "event_chunks"))
    sessions.drop_index("adk_sessions_ttl")
    assert worst(examine(store)) == [(Level.PROBLEM, "expiry")]
    sessions.create_index("expires_at", name="adk_sessions_ttl", expireAfterSeconds=60)
    assert worst(examine(store)) == [(Level.PROBLEM, "expiry")]
    chunks.drop_index("adk_chunks_by_time")
    assert (Level.PROBLEM, "indexes") in worst(examine(store))


def test_where_nothing_is_stored_yet_no_index_is_missing(store: SessionStore) -> None:
    assert not [one for one in worst(examine(store)) if one[1] in ("indexes", "expiry")]


def test_state_that_a_crash_left_behind_is_told(store: SessionStore) -> None:
    live = store.create_session(app_name=APP, user_id="u", session_id="s")
    store.append_event(live, an_event())
    if isinstance(store, MongoSessionStore):
        left = {"id": "x", "app": {"ticket": 1, "state": {"a": 1}, "birth": "b"}}
        store.client[store.db_name]["sessions"].update_one({"session_id": "s"}, {"$set": {"pending": [left]}})
        assert worst(examine(store)) == [(Level.NOTE, "shared state")]
        store.append_event(live, an_event())
    assert (Level.NOTE, "shared state") not in worst(examine(store))
