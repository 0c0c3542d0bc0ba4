"""Code as users write it: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pymongo
import redis
from google.adk.agents import Agent
from google.adk.events import Event
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse
from typing_extensions import assert_type

from adk_extra_sessions import (
    ConfigurationError,
    EventTooLargeError,
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
    SessionStore,
    StateValueError,
)


def services() -> list[BaseSessionService]:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient("mongodb://localhost")
    return [
        RedisSessionService(redis_url="redis://localhost:6379", ttl=timedelta(days=30), socket_timeout=5),
        RedisSessionService(uri="redis://localhost:6379?ttl=30d", agents_dir="agents"),
        RedisSessionService(store=RedisSessionStore(client=redis.Redis(), prefix="prod")),
        RedisSessionService(client=redis.Redis()),
        MongoSessionService(mongo_url="mongodb://localhost:27017", db_name="adk", maxPoolSize=10),
        MongoSessionService(store=MongoSessionStore(client=client, db_name="adk")),
    ]


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
        assert_type(await service.list_sessions(app_name="app"), ListSessionsResponse)
        assert_type(await service.get_user_state(app_name="app", user_id="user"), dict[str, Any])
        await service.flush()


def script() -> None:
    store: SessionStore = MongoSessionStore("mongodb://localhost:27017/adk", on_stale="append")
    with store:
        session = store.create_session(app_name="app", user_id="user")
        store.append_event(session, Event(author="user"))
        assert_type(store.append_many([(session, Event(author="user"))]), list[Event | BaseException])
        assert_type(store.iter_sessions(app_name="app", page_size=10), Iterator[Session])
    with MongoSessionStore("mongodb://localhost:27017/adk") as mongo:
        assert_type(mongo, MongoSessionStore)
        mongo.ensure_indexes()


def errors() -> None:
    try:
        RedisSessionStore("redis://localhost", on_stale="append", unserializable="coerce", refresh_on_read=True)
    except (ConfigurationError, StateValueError) as error:
        assert isinstance(error, ValueError)
    except EventTooLargeError as error:
        assert_type(error.size, int)


def wrong() -> None:
    RedisSessionStore("redis://localhost", on_stale="ignore")  # type: ignore[arg-type]
    MongoSessionStore("mongodb://localhost/adk", unserializable="drop")  # type: ignore[arg-type]
    RedisSessionStore(7)  # type: ignore[arg-type]
