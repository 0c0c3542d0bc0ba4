"""One `store` fixture over every backend, and the servers behind it.

Only the in-process fakes are tested unless ADK_EXTRA_SESSIONS_SERVERS is set:
to 1, real servers are tested too, and those that cannot be had are skipped;
to `require`, they fail.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from pymongo import MongoClient
from support.redis_cluster import RedisClusterServers
from support.servers import MongoServer, RedisServer, Server, binary, initiate, missing

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore

if TYPE_CHECKING:
    from adk_extra_sessions.aio.service import SessionService

SERVERS = os.environ.get("ADK_EXTRA_SESSIONS_SERVERS", "")

FAKES = {"fakeredis": "fakeredis", "mongomock": "mongomock"}
REAL = {
    "redis": "redis_server",
    "rediscluster": "redis_cluster",
    "mongod": "mongod_server",
    "replicaset": "replicaset_server",
}
BACKENDS = [*FAKES, *(REAL if SERVERS else ())]


def pytest_report_header() -> list[str]:
    return [f"{name}: {binary(name)}" for name in ("redis-server", "mongod") if SERVERS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says once what was not tested, and how to have it tested."""
    for name in ("redis-server", "mongod"):
        reason = missing(name) if SERVERS else "ADK_EXTRA_SESSIONS_SERVERS=1 tests on it too"
        if reason:
            terminalreporter.line(f"No real {name} was tested: {reason}")


def need(name: str) -> None:
    """Skips the test, or fails it where servers are required, if there is no such server."""
    reason = missing(name) if SERVERS else "ADK_EXTRA_SESSIONS_SERVERS=1 tests real servers"
    if reason:
        (pytest.fail if SERVERS == "require" else pytest.skip)(reason)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A redis-server for all tests; one that stops or configures it makes its own."""
    need("redis-server")
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisClusterServers]:
    """A Redis Cluster of three masters for all tests."""
    need("redis-server")
    with RedisClusterServers() as servers:
        yield servers


@pytest.fixture(scope="session")
def mongod_server() -> Iterator[MongoServer]:
    """A standalone mongod for all tests."""
    need("mongod")
    with MongoServer() as server:
        yield server


@pytest.fixture(scope="session")
def replicaset_server() -> Iterator[MongoServer]:
    """A replica set of one for all tests."""
    need("mongod")
    with MongoServer(replica_set="tests") as server:
        initiate(server)
        yield server


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """What the test runs on."""
    return request.param


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest) -> Server:
    """The real server behind the backend; tests on fakes are skipped."""
    if backend in FAKES:
        pytest.skip(f"{backend} has no server")
    return request.getfixturevalue(REAL[backend])


@pytest.fixture
def storage(backend: str, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Arguments of a store or service: a place on the backend that is the test's own, emptied after it."""
    name = f"test-{uuid.uuid4().hex}"
    if backend == "fakeredis":
        yield {"redis_url": f"fakeredis://{name}", "prefix": name}
    elif backend == "mongomock":
        yield {"mongo_url": f"mongomock://{name}", "db_name": name}
    elif backend == "rediscluster":
        with redis.RedisCluster.from_url(request.getfixturevalue("redis_cluster").url) as client:
            yield {"client": client, "prefix": name}
            for key in client.scan_iter(match=f"{name}*", count=10_000):
                client.unlink(key)
    elif backend == "redis":
        url = request.getfixturevalue("redis_server").url
        yield {"redis_url": url, "prefix": name}
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(match=f"{name}*", count=10_000):
                client.unlink(key)
    else:
        url = request.getfixturevalue(REAL[backend]).url
        yield {"mongo_url": url, "db_name": name}
        with MongoClient(url) as client:
            client.drop_database(name)


@pytest.fixture
def make_store(storage: dict[str, Any]) -> Iterator[Callable[..., SessionStore]]:
    """Makes stores that share the test's storage, with the options given."""
    cls = RedisSessionStore if "prefix" in storage else MongoSessionStore
    made: list[SessionStore] = []

    def make(**options: Any) -> SessionStore:
        made.append(cls(**{**storage, **options}))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., SessionStore]) -> SessionStore:
    """A store as its users have it, without options."""
    return make_store()


@pytest.fixture
def make_service(storage: dict[str, Any]) -> Iterator[Callable[..., SessionService]]:
    """Makes services that share the test's storage, with the options given."""
    from adk_extra_sessions import MongoSessionService, RedisSessionService

    cls = RedisSessionService if "prefix" in storage else MongoSessionService
    made: list[SessionService] = []

    def make(**options: Any) -> SessionService:
        made.append(cls(**{**storage, **options}))
        return made[-1]

    yield make
    for service in made:
        asyncio.run(service.close())
        service.store.close()


@pytest.fixture
def service(make_service: Callable[..., SessionService]) -> SessionService:
    """A service as its users have it, without options."""
    return make_service()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database of ADK's SQLite service."""
    return f"sqlite:///{tmp_path / 'sessions.db'}"
