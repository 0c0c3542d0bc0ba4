"""Users with no more rights than docs/deployment.md gives them: everything works, and nothing else does."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from google.adk.sessions import BaseSessionService
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from support.redis_cluster import RedisClusterServers
from support.servers import MongoServer, RedisServer

from adk_extra_sessions import MongoSessionService, MongoSessionStore, RedisSessionService, RedisSessionStore
from adk_extra_sessions.errors import AlreadyExistsError, NotReplicatedError
from adk_extra_sessions.testing.contract import (
    DetailsContract,
    ErasureContract,
    ExpiryContract,
    PagesContract,
    PruningContract,
    SessionServiceContract,
)
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

pytestmark = pytest.mark.servers

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment.md"
PASSWORD = "sesame"
NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


def documented(block: str) -> str:
    """Returns what a block of the document says, with a password."""
    found = re.search(rf"<!-- {block} -->\n```\n(.+?)\n```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert found, block
    return found[1].replace("PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def one_redis() -> Iterator[RedisServer]:
    """A server with the documented user."""
    with RedisServer() as server, redis.Redis(port=server.port) as admin:
        admin.execute_command(*documented("acl").split())
        yield server


@pytest.fixture(scope="module")
def redis_cluster_of_users() -> Iterator[RedisClusterServers]:
    """A cluster with the documented user on every node."""
    with RedisClusterServers() as cluster:
        for node in cluster.nodes:
            with redis.Redis(port=node.port) as admin:
                admin.execute_command(*documented("acl cluster").split())
        yield cluster


class ManagedContract(PagesContract, DetailsContract, ExpiryContract, PruningContract, ErasureContract):
    """What a service of ours does beyond ADK's."""


class TestRedisUser(SessionServiceContract):
    """The contract on one server, where sessions expire."""

    @pytest.fixture
    def session_service(self, one_redis: RedisServer) -> Iterator[RedisSessionService]:
        yield from service_of(one_redis, ttl="1d")


class TestRedisUserManages(ManagedContract):
    """What is beyond ADK's, on one server."""

    @pytest.fixture
    def session_service(self, one_redis: RedisServer) -> Iterator[RedisSessionService]:
        yield from service_of(one_redis)


def service_of(server: RedisServer, **options: Any) -> Iterator[RedisSessionService]:
    """Makes the documented user's service on an empty server."""
    with redis.Redis(port=server.port) as admin:
        admin.flushall()
    with RedisSessionStore(f"redis://adk:{PASSWORD}@127.0.0.1:{server.port}", **options) as store:
        yield RedisSessionService(store=store)


class TestRedisClusterUser(SessionServiceContract, ManagedContract):
    """Both contracts on a cluster."""

    @pytest.fixture
    def session_service(self, redis_cluster_of_users: RedisClusterServers) -> Iterator[RedisSessionService]:
        for node in redis_cluster_of_users.nodes:
            with redis.Redis(port=node.port) as admin:
                admin.flushall()
        url = redis_cluster_of_users.url.replace("redis://", f"redis://adk:{PASSWORD}@")
        with redis.RedisCluster.from_url(url) as client:
            yield RedisSessionService(client=client)


def manage(store: RedisSessionStore) -> None:
    """Does what only the calls beyond ADK's do: pages whose first session moves, labels, erasure."""
    user: dict[str, Any] = {"app_name": APP, "user_id": "managed"}
    sessions = [store.create_session(**user, labels={"a": "b"}) for _ in range(4)]
    for order in ("update_time", "update_time desc"):
        page = store.list_sessions(**user, page_size=1, order_by=order)
        store.list_sessions(**user, page_size=1, order_by=order, page_token=page.next_page_token)
        moved = next(one for one in sessions if one.id == page.sessions[0].id)
        store.append_event(moved, an_event())
        store.list_sessions(**user, page_size=1, order_by=order, page_token=page.next_page_token)
    store.update_session(**user, session_id=sessions[0].id, labels={}, display_name=None)
    store.delete_user(**user)
    store.create_session(app_name="erased", user_id="managed")
    store.delete_app(app_name="erased")


def test_no_command_is_granted_in_vain(one_redis: RedisServer) -> None:
    with redis.Redis(port=one_redis.port) as admin:
        admin.flushall()
        admin.script_flush()
        admin.config_resetstat()
        for ttl in ("1d", None):  # expiry is put off, then taken away
            url = f"redis://adk:{PASSWORD}@127.0.0.1:{one_redis.port}"
            with RedisSessionStore(url, ttl=ttl, refresh_on_read=True) as store:
                session = store.get_session(**NAMES) or store.create_session(**NAMES, state={"user:a": 1, "app:a": 1})
                repeated = store.append_event(session, an_event())
                for _ in range(2):  # one of the newest events is repeated, then an older one
                    store.append_event(session, repeated.model_copy(deep=True))
                    store.append_many((session, an_event()) for _ in range(5))
                with pytest.raises(AlreadyExistsError):
                    store.create_session(**NAMES)
                store.list_sessions(app_name=APP)
                manage(store)
                with store.turn(**NAMES):
                    store.ping()
        with RedisSessionStore(url) as store:
            store.delete_session(**NAMES)
        with RedisSessionStore(url, wait_replicas=1, wait_timeout=0.01) as store, pytest.raises(NotReplicatedError):
            store.create_session(**NAMES)
        used = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
    granted = set(re.findall(r"\+(\w+)", documented("acl")))
    assert granted - used == set()


def test_the_redis_user_may_do_nothing_else(one_redis: RedisServer) -> None:
    with redis.Redis(port=one_redis.port, username="adk", password=PASSWORD) as client:
        for command in ("KEYS *", "FLUSHALL", "CONFIG GET *", "GET adk:x", "HGETALL other", "EVAL return{} 1 other"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.fixture(scope="module")
def guarded() -> Iterator[MongoServer]:
    """A mongod that knows who may do what, and its administrator's client."""
    with MongoServer("--auth") as server:
        with MongoClient("127.0.0.1", server.port) as first:
            root = {"role": "root", "db": "admin"}
            first.admin.command("createUser", "root", pwd=PASSWORD, roles=[root])
        with administrator(server) as admin:
            user = json.loads(documented("mongodb user"))
            admin["shop"].command(user)
            actions = ["find", "insert", "update", "remove"]
            privileges = [{"resource": {"db": "shop", "collection": ""}, "actions": actions}]
            admin["shop"].command("createRole", "documents", privileges=privileges, roles=[])
            admin["shop"].command("createUser", "clerk", pwd=PASSWORD, roles=["documents"])
            admin["shop"].command("createUser", "reader", pwd=PASSWORD, roles=["read"])
        yield server


def administrator(server: MongoServer) -> Any:
    return MongoClient("127.0.0.1", server.port, username="root", password=PASSWORD)


@pytest.fixture
def url_of(guarded: MongoServer) -> Callable[[str], str]:
    """Returns a user's URL of a database without documents."""
    with administrator(guarded) as admin:
        for collection in ("sessions", "event_chunks", "state"):
            admin["shop"][collection].delete_many({})
    return lambda user: f"mongodb://{user}:{PASSWORD}@127.0.0.1:{guarded.port}/shop"


class TestMongoUser(SessionServiceContract):
    """The contract for a user with `readWrite` on one database."""

    @pytest.fixture
    def session_service(self, url_of: Callable[[str], str]) -> Iterator[BaseSessionService]:
        with MongoSessionStore(url_of("adk"), ttl="1d") as store:
            yield MongoSessionService(store=store)


def test_read_write_makes_indexes(url_of: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    for ttl in ("1d", "2d"):
        with MongoSessionStore(url_of("adk"), ttl=ttl, collection_prefix="own_") as store:
            store.ensure_indexes()
            index = store.client["shop"]["own_sessions"].index_information()["adk_sessions_ttl"]
            assert index["expireAfterSeconds"] == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    with MongoSessionStore(url_of("adk")) as other, pytest.raises(OperationFailure):
        other.client["other"]["sessions"].find_one()


def test_without_the_right_to_make_indexes_all_works_with_a_warning(
    url_of: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    with MongoSessionStore(url_of("clerk"), ttl="1d", collection_prefix="clerk_") as store:
        session = store.create_session(**NAMES, state={"user:a": 1, "app:a": 1, "a": 1})
        store.append_many((session, an_event(str(number), delta={"user:a": number})) for number in range(130))
        found = store.get_session(**NAMES)
        assert found == session and len(texts(found)) == 130
        assert len(store.list_sessions(app_name=APP).sessions) == 1
        store.delete_session(**NAMES)
        assert store.get_session(**NAMES) is None
        assert store.get_user_state(app_name=APP, user_id=USER) == {"a": 129}
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 5 and all("was not made (code 13)" in message for message in warnings), warnings


def test_a_reader_without_the_right_to_write_reads_everything(
    url_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with MongoSessionStore(url_of("adk"), ttl="1d") as store:
        session = store.create_session(**NAMES, state={"user:a": 1, "app:a": 1})
        store.append_many((session, an_event(str(number))) for number in range(130))

        def broken(*arguments: object, **named: object) -> None:
            raise ConnectionError("lost")

        monkeypatch.setattr(type(store.backend.shared), "apply", broken)  # the next delta is left in the session
        with pytest.raises(ConnectionError):
            store.append_event(session, an_event("last", delta={"user:a": 2}))
        monkeypatch.undo()
    for ttl in (None, "1h"):
        with MongoSessionStore(url_of("reader"), ttl=ttl) as reading:
            found = reading.get_session(**NAMES)
            assert found is not None and len(found.events) == 131 and found.state == {"user:a": 2, "app:a": 1}
            assert [one.state for one in reading.list_sessions(app_name=APP).sessions] == [found.state]
            assert list(reading.iter_sessions(app_name=APP, user_id=USER))
            with pytest.raises(OperationFailure):
                reading.append_event(found, an_event())
    with MongoSessionStore(url_of("adk")) as store:
        assert texts(store.get_session(**NAMES))[-1] == "last"


def test_reading_survives_a_server_that_refuses_writes(
    guarded: MongoServer, url_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with MongoSessionStore(url_of("adk"), timeoutMS=200_000) as store:
        session = store.create_session(**NAMES, state={"user:a": 1})
        apply = type(store.backend.shared).apply
        monkeypatch.setattr(type(store.backend.shared), "apply", lambda *arguments, **named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.append_event(session, an_event(delta={"user:a": 2}))
        monkeypatch.setattr(type(store.backend.shared), "apply", apply)
        with administrator(guarded) as admin:
            admin.admin.command({"fsync": 1, "lock": True})
            try:
                started = time.monotonic()
                found = store.get_session(**NAMES)
                assert found is not None and found.state == {"user:a": 2}
                assert [one.state for one in store.list_sessions(app_name=APP).sessions] == [{"user:a": 2}]
                assert time.monotonic() - started < 100  # a write would wait for the driver's limit
            finally:
                admin.admin.command({"fsyncUnlock": 1})
