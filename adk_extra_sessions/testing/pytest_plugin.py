"""Pytest fixtures for testing agents offline: sessions on in-process fakes, a new one for each test.

Installed with the package; nothing to import:

    async def test_my_agent_remembers(redis_session_service):
        runner = Runner(agent=agent, app_name="app", session_service=redis_session_service)
        ...
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from adk_extra_sessions import MongoSessionService, MongoSessionStore, RedisSessionService, RedisSessionStore


@pytest.fixture
def redis_session_store() -> Iterator[RedisSessionStore]:
    """A blocking store on an in-process fake of Redis."""
    from adk_extra_sessions import RedisSessionStore

    with RedisSessionStore(f"fakeredis://test-{uuid.uuid4()}") as store:
        yield store


@pytest.fixture
def mongo_session_store() -> Iterator[MongoSessionStore]:
    """A blocking store on an in-process fake of MongoDB."""
    from adk_extra_sessions import MongoSessionStore

    with MongoSessionStore(f"mongomock://test-{uuid.uuid4()}", db_name="test") as store:
        yield store


@pytest.fixture
def redis_session_service(redis_session_store: RedisSessionStore) -> RedisSessionService:
    """A `RedisSessionService` over `redis_session_store`."""
    from adk_extra_sessions import RedisSessionService

    return RedisSessionService(store=redis_session_store)


@pytest.fixture
def mongo_session_service(mongo_session_store: MongoSessionStore) -> MongoSessionService:
    """A `MongoSessionService` over `mongo_session_store`."""
    from adk_extra_sessions import MongoSessionService

    return MongoSessionService(store=mongo_session_store)
