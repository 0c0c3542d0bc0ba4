"""One `store` fixture over every backend, the servers behind it, and which tests are run.

Only tests that need no server are run unless ADK_EXTRA_SESSIONS_SERVERS is set: to 1, those on
real servers are run too, or skipped where a server cannot be had; to `require`, they then fail.
Slow tests that are run on real servers are not also run on fakes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from pymongo import MongoClient
from support.redis_cluster import RedisClusterServers
from support.servers import MongoServer, RedisServer, Server, binary, initiate, missing

import adk_extra_sessions
from adk_extra_sessions import SessionStore

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
DATABASES = {
    **dict.fromkeys(("fakeredis", "redis", "rediscluster"), "Redis"),
    **dict.fromkeys(("mongomock", "mongod", "replicaset"), "Mongo"),
}
"""What the names of each backend's classes begin with."""

BACKENDS = [*FAKES, *(REAL if SERVERS else ())]
TESTS = Path(__file__).parent
SLOW = {
    "cli",
    "history",
    "reliability",
    "transfer",
    "turns",
    "test_backend_contract.py",
    "test_examples.py",
    "test_frameworks.py",
    "test_imports.py",
    "test_observability_page.py",
    "test_pytest_plugin.py",
    "test_sealed_bodies.py",
}
"""Folders and files."""

SIMPLE = {"adk", "aio", "cli", "history", "transfer", "turns", "test_lost_history.py"}
"""Folders and files whose subject is the same on all servers of a database: tests are run on one server of each."""


def pytest_configure() -> None:
    """Lets Ctrl-C come as an exception; it is ignored where a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a real server as `servers`, and what is slow as `slow`; leaves out what is not to be run."""
    kept = [item for item in items if _backend(item) not in _not_on(item)]
    for item in kept:
        if _backend(item) in REAL or not {"server", *REAL.values()}.isdisjoint(_fixtures(item)):
            item.add_marker("servers")
        if not SLOW.isdisjoint(item.path.relative_to(TESTS).parts):
            item.add_marker("slow")
    if SERVERS:
        on_servers = {_function(item) for item in kept if _backend(item) in REAL}
        items[:] = [one for one in kept if not (_is_slow_on_a_fake(one) and _function(one) in on_servers)]
    else:
        items[:] = [item for item in kept if not item.get_closest_marker("servers")]


def _is_slow_on_a_fake(item: pytest.Item) -> bool:
    return _backend(item) in FAKES and item.get_closest_marker("slow") is not None


def _function(item: pytest.Item) -> str:
    """The test that a collected one is a variant of."""
    return item.nodeid.partition("[")[0]


def _backend(item: pytest.Item) -> str | None:
    return getattr(item, "callspec", None) and item.callspec.params.get("backend")  # type: ignore[attr-defined]


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def _not_on(item: pytest.Item) -> set[str]:
    """The backends that a test is not run on: those its marks name, fakes when it needs a server."""
    named = {name for mark in item.iter_markers("not_on") for name in mark.args}
    if not SIMPLE.isdisjoint(item.path.relative_to(TESTS).parts):
        named |= {"rediscluster", "replicaset"}
    return named | set(FAKES if "server" in _fixtures(item) else ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells once what was tested on, and how to test on more."""
    if not SERVERS:
        terminalreporter.line("Tested on fakeredis and mongomock. Real servers: tox -e servers")
    for name in ("redis-server", "mongod") if SERVERS else ():
        terminalreporter.line(missing(name) or f"Tested on {binary(name)}")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A redis-server for all tests; one that stops or configures it makes its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisClusterServers]:
    """A Redis Cluster of three masters for all tests."""
    with RedisClusterServers() as servers:
        yield servers


@pytest.fixture(scope="session")
def mongod_server() -> Iterator[MongoServer]:
    """A standalone mongod for all tests."""
    with MongoServer() as server:
        yield server


@pytest.fixture(scope="session")
def replicaset_server() -> Iterator[MongoServer]:
    """A replica set of one for all tests."""
    # It syncs often, for a replica set drops a database only after that, and each test has a database.
    with MongoServer("--journalCommitInterval", "25", replica_set="tests") as server:
        initiate(server)
        yield server


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """What the test runs on."""
    return request.param


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest) -> Server:
    """The real server behind the backend; tests that use it are not run on fakes."""
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
def make_store(backend: str, storage: dict[str, Any]) -> Iterator[Callable[..., SessionStore]]:
    """Makes stores that share the test's storage, with the options given."""
    cls = getattr(adk_extra_sessions, f"{DATABASES[backend]}SessionStore")
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
def make_service(backend: str, storage: dict[str, Any]) -> Iterator[Callable[..., SessionService]]:
    """Makes services that share the test's storage, with the options given."""
    cls = getattr(adk_extra_sessions, f"{DATABASES[backend]}SessionService")
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
