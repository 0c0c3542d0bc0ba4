"""Servers that refuse: full ones, ones that take no writes for the moment, and users without a right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, RedisError
from support.ports import refused_port
from support.servers import RedisServer

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.doctor import examine
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

pytestmark = pytest.mark.servers

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER}
ONE = {**NAMES, "session_id": "one"}


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer("--maxmemory-policy", "noeviction") as server:
        yield server


@pytest.fixture
def admin(own_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=own_server.port) as client:
        yield client


def everything(admin: redis.Redis) -> dict[bytes, Any]:
    """All that is stored, but for expiry."""
    return {key: admin.dump(key) for key in admin.scan_iter()}


@pytest.mark.parametrize("ttl", [None, "1h"])
def test_a_full_server_refuses_writes_and_forgets_nothing(
    own_server: RedisServer, admin: redis.Redis, ttl: str | None
) -> None:
    with RedisSessionStore(own_server.url, ttl=ttl, refresh_on_read=True) as store:
        session = store.create_session(**ONE, state={"user:a": 1})
        event = store.append_event(session, an_event("before"))
        two = store.create_session(**NAMES, session_id="two")
        admin.rpush("leftover", "x")
        for key in store.client.scan_iter(match="*:s:two"):  # an event list that outlived its session
            admin.rename("leftover", key.replace(b":s:two", b":e:three"))
        admin.config_set("maxmemory", 1)
        before, memory = everything(admin), admin.info("memory")["used_memory"]
        for number in range(100):
            with pytest.raises(OutOfMemoryError):
                store.create_session(**NAMES, session_id="three", state={f"user:{number}": "x" * 10_000})
            with pytest.raises(OutOfMemoryError):
                store.append_event(session, an_event("x" * 10_000, delta={"a": "x" * 10_000}))
        outcomes = store.append_many((one, an_event("x" * 10_000)) for one in (session, two))
        assert [type(one) for one in outcomes] == [OutOfMemoryError] * 2
        waiting = RedisSessionStore(own_server.url, wait_replicas=1, wait_timeout=0.1)
        with waiting, pytest.raises(OutOfMemoryError):
            waiting.append_event(session, an_event("x" * 10_000))
        assert everything(admin) == before
        assert admin.info("memory")["used_memory"] < memory + 500_000
        assert texts(store.get_session(**ONE) or session) == ["before"] == texts(session)
        assert len(store.list_sessions(app_name=APP).sessions) == 2
        store.delete_session(**NAMES, session_id="two")
        assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["one"]
        admin.config_set("maxmemory", 0)
        store.append_event(session, event.model_copy(deep=True))
        store.append_event(session, an_event("after"))
        assert texts(store.get_session(**ONE) or session) == ["before", "after"]


def test_a_full_cluster_node_refuses_a_new_user(own_server: RedisServer, admin: redis.Redis) -> None:
    with RedisSessionStore(own_server.url) as store:
        admin.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            UserIndex(store.client, store.prefix, APP).enter(USER, "0")
        assert everything(admin) == {}


COMMANDS = ["hset", "rpush", "zadd", "zrem", "pexpire", "persist", "pttl", "zcard", "zrange", "exists", "hlen", "lpos"]


@pytest.mark.parametrize("missing", [*COMMANDS, "del", "lindex", "llen", "hmget", "zscore", "zrangebyscore", "time"])
def test_without_a_right_nothing_is_stored(own_server: RedisServer, admin: redis.Redis, missing: str) -> None:
    admin.execute_command("ACL", "SETUSER", "clerk", "on", "nopass", "~*", "+@all", f"-{missing}")
    url = f"redis://clerk:x@127.0.0.1:{own_server.port}"
    refused = 0
    with RedisSessionStore(own_server.url, ttl=None if missing == "pexpire" else "1h") as allowed:
        session = allowed.create_session(**ONE)
        first = an_event("first", at=2000.0)
        allowed.append_many((session, one) for one in [first, *(an_event(at=2001.0 + at) for at in range(8))])
        before = everything(admin)
        with RedisSessionStore(url, ttl="1h" if missing in ("pexpire", "pttl") else None) as store:
            for operation in (
                lambda: store.append_event(session, an_event(at=3000.0, delta={"a": 1, "user:a": 1, "app:a": 1})),
                lambda: store.append_event(session, session.events[-1].model_copy(deep=True)),
                lambda: store.append_event(session, first.model_copy(deep=True)),
                lambda: store.append_many([(session, an_event(at=3001.0)), (session, an_event(at=1.0))])[0],
                lambda: store.create_session(**NAMES, session_id="two", state={"user:a": 1, "app:a": 1}),
            ):
                try:
                    result = operation()
                except NoPermissionError as error:
                    result = error
                if isinstance(result, NoPermissionError):
                    refused += 1
                    assert everything(admin) == before
                else:
                    assert not isinstance(result, Exception), result
                    before = everything(admin)
    assert refused


def test_without_the_right_to_wait_for_replicas_that_is_the_error(own_server: RedisServer, admin: redis.Redis) -> None:
    admin.execute_command("ACL", "SETUSER", "clerk", "on", "nopass", "~*", "+@all", "-wait")
    store = RedisSessionStore(f"redis://clerk:x@127.0.0.1:{own_server.port}", wait_replicas=1)
    with store, pytest.raises(NoPermissionError):
        store.create_session(**ONE)


def test_the_doctor_names_a_missing_right(own_server: RedisServer, admin: redis.Redis) -> None:
    admin.execute_command("ACL", "SETUSER", "clerk", "on", "nopass", "~*", "+@all", "-exists")
    with RedisSessionStore(f"redis://clerk:x@127.0.0.1:{own_server.port}") as store:
        admin.hset(f"{store.prefix}:{{{APP}/{USER}}}:s:one", "a", "b")
        with pytest.raises(NoPermissionError):
            list(examine(store))


def test_a_server_without_replicas_to_write_to_can_be_read(own_server: RedisServer, admin: redis.Redis) -> None:
    with RedisSessionStore(own_server.url, ttl="1h", refresh_on_read=True) as store:
        store.create_session(**ONE)
        store.create_session(**NAMES, session_id="expired")
        store.create_session(app_name=APP, user_id="gone", session_id="expired")
        admin.delete(*admin.keys("*:s:expired"))
        admin.delete(*admin.keys("*/gone}:i"))
        read = _readable(store)
        read()
        admin.config_set("min-replicas-to-write", 1)
        with pytest.raises(RedisError):
            store.create_session(**NAMES)
        read()
        admin.config_set("min-replicas-to-write", 0)


def test_a_replica_can_be_read(own_server: RedisServer, admin: redis.Redis) -> None:
    with RedisSessionStore(own_server.url, ttl="1h", refresh_on_read=True) as store:
        store.create_session(**ONE)
        store.create_session(**NAMES, session_id="expired")
        store.create_session(app_name=APP, user_id="gone", session_id="expired")
        admin.delete(*admin.keys("*:s:expired"))
        admin.delete(*admin.keys("*/gone}:i"))
        with refused_port() as nobodys:
            admin.replicaof("127.0.0.1", str(nobodys))
            with pytest.raises(ReadOnlyError):
                store.create_session(**NAMES)
            _readable(store)()


def _readable(store: RedisSessionStore) -> Callable[[], None]:
    def read() -> None:
        assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["one"]
        assert [one.id for one in store.list_sessions(**NAMES).sessions] == ["one"]
        assert store.get_session(**ONE) is not None

    return read
