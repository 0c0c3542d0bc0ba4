"""Options and clients that stores pass on to the drivers, and those that the drivers cannot use."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from adk_extra_sessions import (
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
)
from adk_extra_sessions.errors import ConfigurationError


def test_driver_options_pass_through() -> None:
    store = RedisSessionStore("redis://host:7/3?socket_timeout=2", client_name="me", max_connections=3)
    pool = store.client.connection_pool
    assert pool.max_connections == 3
    kept = {name: pool.connection_kwargs[name] for name in ("host", "port", "db", "socket_timeout", "client_name")}
    assert kept == {"host": "host", "port": 7, "db": 3, "socket_timeout": 2.0, "client_name": "me"}
    assert RedisSessionStore("redis://host?timeout=1.5").client.connection_pool.timeout == 1.5
    mongo = MongoSessionStore("mongodb://host/db?appname=me", connect=False, maxPoolSize=7)
    assert mongo.client.options.pool_options.max_pool_size == 7
    assert mongo.client.options.pool_options.appname == "me"


def test_waits_are_bounded_and_writes_go_to_the_majority() -> None:
    pool = RedisSessionStore("redis://host").client.connection_pool
    assert pool.connection_kwargs["socket_timeout"] and pool.connection_kwargs["socket_connect_timeout"]
    options = MongoSessionStore("mongodb://host/db", connect=False).client.options
    assert options.timeout == 20
    assert options.write_concern.document["w"] == "majority"
    assert MongoSessionStore("mongodb://host/db?w=1", connect=False).client.options.write_concern.document["w"] == 1


def test_other_clients_are_refused() -> None:
    import pymongo
    import redis.asyncio

    for client in (redis.asyncio.Redis(), object(), redis.Redis(encoding="latin-1", decode_responses=True)):
        with pytest.raises(ConfigurationError, match="client"):
            RedisSessionStore(client=client)
    unacknowledged: Any = pymongo.MongoClient("mongodb://h/?w=0", connect=False)
    for client in (object(), unacknowledged):
        with pytest.raises(ConfigurationError):
            MongoSessionStore(client=client, db_name="x")
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisSessionStore("redis://h", prefix="{a}")
    with pytest.raises(ConfigurationError, match="prefix"):
        RedisSessionStore("redis://h", prefix="\udc80")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ssl", True),
        ("ssl_cert_reqs", "none"),
        ("retry", 3),
        ("retry_on_error", 3),
        ("credential_provider", 3),
        ("connection_class", 3),
        ("parser_class", 3),
        ("redis_connect_func", 3),
        ("socket_timeout", "x"),
        ("socket_connect_timeout", [1]),
        ("socket_keepalive_options", 3),
        ("health_check_interval", "x"),
        ("max_connections", "x"),
        ("max_connections", -1),
        ("timeout", "x"),
        ("protocol", 7),
        ("encoding", 3),
        ("encoding_errors", "nix"),
        ("unix_socket_path", "/x"),
        ("nix", 1),
    ],
)
@pytest.mark.parametrize("in_url", [True, False], ids=["url", "argument"])
def test_an_option_that_redis_py_cannot_use_is_named_before_it_connects(option: str, value: Any, in_url: bool) -> None:
    url = "redis://user:secret@h/0"
    url, options = (f"{url}?{option}={value}", {}) if in_url else (url, {option: value})
    with pytest.raises(ConfigurationError, match=f"'{option}'"):
        RedisSessionStore(url, **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("maxPoolSize", "many"),
        ("maxPoolSize", -1),
        ("serverSelectionTimeoutMS", "x"),
        ("readPreference", "nearby"),
        ("wTimeoutMS", "x"),
        ("tls", "perhaps"),
        ("retryWrites", "x"),
        ("nix", 1),
    ],
)
@pytest.mark.parametrize("in_url", [True, False], ids=["url", "argument"])
@pytest.mark.parametrize("scheme", ["mongodb", "mongomock"])
def test_an_option_that_pymongo_cannot_use_is_named(scheme: str, option: str, value: Any, in_url: bool) -> None:
    url = f"{scheme}://user:secret@h/db"
    url, options = (f"{url}?{option}={value}", {}) if in_url else (url, {option: value})
    with pytest.raises(ConfigurationError, match=f"'{option}'") as refused:
        MongoSessionStore(url, **options)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"ssl_cert_reqs": "none", "ssl_ca_certs": "ca.pem", "ssl_password": "x"},
        {"username": "me", "password": "x", "client_name": "me", "protocol": 3},
        {"retry_on_timeout": True, "health_check_interval": 5, "socket_keepalive": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_redis_py_takes_are_taken(options: dict[str, Any]) -> None:
    for store in (
        RedisSessionStore("rediss://h/0", **options),
        RedisSessionStore(f"rediss://h/0?{urlencode(options)}"),
    ):
        kept = store.client.connection_pool.connection_kwargs
        assert {name: str(kept[name]) for name in options} == {name: str(value) for name, value in options.items()}


def test_an_asyncio_client_is_refused_in_words_that_say_so() -> None:
    import pymongo
    import redis.asyncio
    from fakeredis import FakeAsyncRedis

    class AsyncIOMotorClient:
        __module__ = "motor.motor_asyncio"

    for client in (redis.asyncio.Redis(), redis.asyncio.RedisCluster("h"), FakeAsyncRedis()):
        for cls in (RedisSessionStore, RedisSessionService):
            with pytest.raises(ConfigurationError, match=r"a redis.Redis or .* is an asyncio client"):
                cls(client=client)  # type: ignore[arg-type]
    clients: list[Any] = [AsyncIOMotorClient()]
    if hasattr(pymongo, "AsyncMongoClient"):  # since 4.9
        clients.append(pymongo.AsyncMongoClient("mongodb://h", connect=False))
    for client in clients:
        for made in (MongoSessionStore, MongoSessionService):
            with pytest.raises(ConfigurationError, match=r"a pymongo.MongoClient; .* is an asyncio client"):
                made(client=client, db_name="x")  # type: ignore[arg-type]


def test_given_timeouts_have_an_effect() -> None:
    store = MongoSessionStore("mongodb://h/db", connect=False, serverSelectionTimeoutMS=1000)
    assert store.client.options.timeout is None
    assert store.client.options.server_selection_timeout == 1
    assert store.client.options.pool_options.socket_timeout == 20
