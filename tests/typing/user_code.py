"""Code as users write it: checked by mypy, never run."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pymongo
import pymongo.monitoring
import pytest
import redis
import redis.asyncio
from google.adk.agents import Agent
from google.adk.events import Event
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from typing_extensions import Unpack, assert_type

import adk_extra_sessions
from adk_extra_sessions import (
    AlreadyExistsError,
    ClosedError,
    ConfigurationError,
    CorruptRecordError,
    EventTooLargeError,
    EventValueError,
    InputValidationError,
    MissingExtraError,
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
    Session,
    SessionNotFoundError,
    SessionService,
    SessionsPage,
    SessionStore,
    StaleSessionError,
    StateValueError,
)
from adk_extra_sessions.backends.redis.driver_options import RedisDriverOptions
from adk_extra_sessions.testing.contract import SessionServiceContract
from adk_extra_sessions.transfer import Place, SessionKey


def services() -> list[BaseSessionService]:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient("mongodb://localhost")
    return [
        RedisSessionService(redis_url="redis://localhost:6379", ttl=timedelta(days=30), socket_timeout=5),
        RedisSessionService("redis://localhost:6379", prefix="prod", refresh_on_read=True, cache="64MB"),
        RedisSessionService(uri="redis://localhost:6379?ttl=30d", agents_dir="agents"),
        RedisSessionService(store=RedisSessionStore(client=redis.Redis(), prefix="prod")),
        RedisSessionService(client=redis.RedisCluster.from_url("redis://localhost:6379"), unserializable="coerce"),
        MongoSessionService(mongo_url="mongodb://localhost:27017", db_name="adk", maxPoolSize=10),
        MongoSessionService("mongodb://localhost:27017", "adk", collection_prefix="chat_", ttl="30d", on_stale="raise"),
        MongoSessionService(uri="mongodb://localhost:27017/adk", agents_dir="agents", unserializable="raise"),
        MongoSessionService(client=client, db_name="adk", cache=64_000_000, history="all"),
        MongoSessionService(store=MongoSessionStore(client=client, db_name="adk", ttl=90)),
    ]


def with_options_of_the_driver(options: dict[str, Any]) -> None:
    RedisSessionStore(
        "rediss://host",
        ttl="1h",
        socket_timeout=5,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(), 3),
        retry_on_error=[redis.exceptions.ConnectionError],
        max_connections=20,
        client_name="chat",
        password=None,
        ssl_ca_certs="ca.pem",
        ssl_cert_reqs="required",
    )
    RedisSessionService("redis://host", db=1, decode_responses=True, protocol=3, socket_connect_timeout=0.5)
    MongoSessionStore(
        "mongodb://host/adk",
        ttl="1h",
        maxPoolSize=10,
        timeoutMS=5000,
        tls=True,
        tlsCAFile="ca.pem",
        w="majority",
        retryWrites=False,
        event_listeners=[pymongo.monitoring.CommandListener()],
    )
    MongoSessionService("mongodb://host", "adk", username="chat", password="...", appname="chat", w=1)
    RedisSessionStore("redis://host", **options)
    MongoSessionService("mongodb://host/adk", **options)


def with_options_passed_on(url: str, **options: Unpack[RedisDriverOptions]) -> RedisSessionStore:
    return RedisSessionStore(url, ttl="30d", **options)


def wrong_options_of_the_driver() -> None:
    RedisSessionStore("redis://host", tll="1h")  # type: ignore[call-arg]
    RedisSessionService("redis://host", tll="1h")  # type: ignore[call-arg]
    MongoSessionStore("mongodb://host/adk", tll="1h")  # type: ignore[call-arg]
    MongoSessionService("mongodb://host/adk", tll="1h")  # type: ignore[call-arg]
    RedisSessionStore("redis://host", socket_timeout="5")  # type: ignore[arg-type]
    RedisSessionService("redis://host", retry=3)  # type: ignore[arg-type]
    MongoSessionStore("mongodb://host/adk", maxPoolSize="10")  # type: ignore[arg-type]
    MongoSessionService("mongodb://host/adk", maxpoolsize=10)  # type: ignore[call-arg]
    MongoSessionService("mongodb://host/adk", tz_aware=True)  # type: ignore[call-arg]


async def run(agent: Agent) -> None:
    async with RedisSessionService("redis://localhost:6379") as service:
        assert_type(service, RedisSessionService)
        assert_type(service.store, RedisSessionStore)
        Runner(agent=agent, app_name="app", session_service=service)
        session = await service.create_session(app_name="app", user_id="user", state={"a": 1})
        assert_type(session, Session)
        assert_type(await service.append_event(session, Event(author="user")), Event)
        config = GetSessionConfig(num_recent_events=20)
        found = await service.get_session(app_name="app", user_id="user", session_id=session.id, config=config)
        assert_type(found, Session | None)
        assert_type(await service.list_sessions(app_name="app"), SessionsPage)
        assert_type(await service.get_user_state(app_name="app", user_id="user"), dict[str, Any])
        named: dict[str, Any] = {"app_name": "app", "user_id": "user"}
        page = await service.list_sessions(**named, page_size=20, order_by="update_time desc", labels={"a": "b"})
        assert_type(page.next_page_token, str | None)
        assert_type(page.sessions[0].display_name, str | None)
        assert_type(await service.count_sessions(**named), int)
        assert_type([one async for one in service.iter_sessions(app_name="app")], list[Session])
        changed = await service.update_session(**named, session_id=session.id, display_name=None, ttl=timedelta(days=1))
        assert_type(changed.expire_time, float | None)
        again = await service.get_or_create_session(**named, session_id="one", labels={"a": "b"}, expire_time=None)
        assert_type(again.labels, dict[str, str])
        pruned = await service.prune_sessions(app_name="app", before="30d", keep_last=5, progress=print)
        assert_type(pruned.deleted, int)
        assert_type((await service.delete_user(**named)).sessions, int)
        await service.delete_session(app_name="app", user_id="user", session_id=session.id)
        await service.flush()
        await service.ping()
    async with MongoSessionService("mongodb://localhost:27017/adk") as other:
        assert_type(other, MongoSessionService)
        assert_type(other.store, MongoSessionStore)
        Runner(agent=agent, app_name="app", session_service=other)
    await other.close()


async def any_of_ours(service: SessionService) -> None:
    assert_type(service.store, SessionStore)
    try:
        await service.close()
    except (ClosedError, MissingExtraError) as error:
        assert_type(str(error), str)


def copied(source: Place) -> Iterator[SessionKey]:
    for app_name in source.app_names():
        yield from source.keys(app_name)


def either(url: str) -> RedisSessionService | MongoSessionService:
    service = RedisSessionService(url) if url.startswith("redis") else MongoSessionService(url)
    assert_type(service.store.ping(), None)
    return pickle.loads(pickle.dumps(service))  # type: ignore[no-any-return]


def script() -> None:
    store: SessionStore = MongoSessionStore("mongodb://localhost:27017/adk", on_stale="append")
    with store:
        session = store.create_session(app_name="app", user_id="user")
        store.append_event(session, Event(author="user"))
        assert_type(store.append_many([(session, Event(author="user"))]), list[Event | BaseException])
        assert_type(store.iter_sessions(app_name="app", page_size=10), Iterator[Session])
    with MongoSessionStore("mongodb://localhost:27017", "adk") as mongo:
        assert_type(mongo, MongoSessionStore)
        mongo.ensure_indexes()
    with RedisSessionStore("redis://localhost:6379", prefix="prod", ttl=90.5) as on_redis:
        assert_type(on_redis, RedisSessionStore)
        assert_type(on_redis.get_session(app_name="app", user_id="user", session_id="one"), Session | None)
        assert_type(on_redis.list_sessions(app_name="app", user_id="user").sessions, list[Session])
        assert_type(on_redis.get_user_state(app_name="app", user_id="user"), dict[str, Any])
        on_redis.delete_session(app_name="app", user_id="user", session_id="one")
        on_redis.ping()


def errors(store: RedisSessionStore, session: Session) -> None:
    try:
        store.append_event(session, Event(author="user"))
    except (AlreadyExistsError, InputValidationError, SessionNotFoundError) as error:
        assert_type(str(error), str)
    except StateValueError as error:
        assert_type(error.key, object)
    except EventTooLargeError as error:
        assert_type((error.size, error.limit), tuple[int, int])
    except (ConfigurationError, EventValueError, StaleSessionError) as error:
        assert_type(error.args, tuple[Any, ...])
        assert isinstance(error, ValueError)
    except CorruptRecordError as error:
        assert isinstance(error, RuntimeError)


def test_with_fixtures(
    redis_session_service: RedisSessionService,
    mongo_session_service: MongoSessionService,
    redis_session_store: RedisSessionStore,
    mongo_session_store: MongoSessionStore,
) -> None:
    stores: list[SessionStore] = [redis_session_store, mongo_session_store]
    assert_type(redis_session_service.store, RedisSessionStore)
    assert_type(mongo_session_service.store, MongoSessionStore)
    assert [store.list_sessions(app_name="app").sessions for store in stores] == [[], []]


class TestMyService(SessionServiceContract):
    @pytest.fixture
    def session_service(self, redis_session_service: RedisSessionService) -> BaseSessionService:
        return redis_session_service


def wrong(session: Session) -> None:
    RedisSessionStore("redis://localhost", on_stale="ignore")  # type: ignore[arg-type]
    MongoSessionStore("mongodb://localhost/adk", unserializable="drop")  # type: ignore[arg-type]
    RedisSessionStore(7)  # type: ignore[arg-type]
    RedisSessionStore(client=redis.asyncio.Redis())  # type: ignore[arg-type]
    RedisSessionService("redis://localhost", on_stale="ignore")  # type: ignore[arg-type]
    RedisSessionService(client=redis.asyncio.Redis())  # type: ignore[arg-type]
    RedisSessionService(store=MongoSessionStore("mongodb://localhost/adk"))  # type: ignore[arg-type]
    MongoSessionService("mongodb://localhost/adk", ttl=[30])  # type: ignore[arg-type]
    MongoSessionService(client=pymongo.AsyncMongoClient("mongodb://localhost"))  # type: ignore[arg-type]
    with RedisSessionStore("redis://localhost") as store:
        store.create_session("app", "user")  # type: ignore[call-arg]
        store.append_event(session, "event")  # type: ignore[arg-type]
        store.ensure_indexes()  # type: ignore[attr-defined]
    assert adk_extra_sessions.Nothing  # type: ignore[attr-defined]
