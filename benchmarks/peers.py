"""The services that ours are measured beside."""

from __future__ import annotations

import warnings
from typing import Any

from google.adk.sessions import BaseSessionService, Session

from benchmarks.workload import APP, events

warnings.filterwarnings("ignore", category=UserWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)


def adk_redis(url: str) -> Any:
    """ADK's own Redis service."""
    from google.adk.integrations.redis import RedisSessionService, RedisSessionServiceConfig

    return RedisSessionService(RedisSessionServiceConfig(uri=url))


async def adk_redis_session(service: Any, count: int, user: str = "user") -> Session:
    """A session of ADK's Redis service with a history, written in one go: its appends take a second each in the end."""
    session: Session = await service.create_session(app_name=APP, user_id=user)
    session.events = list(events(count))
    key = service._session_key(APP, user, session.id)
    await service._get_redis().set(key, session.model_dump_json())
    return session


def adk_mongo(url: str, database: str) -> Any:
    """ADK's own MongoDB service."""
    from google.adk.integrations.mongodb import MongoDbSessionService

    return MongoDbSessionService(connection_string=url, database_name=database)


def community_redis(url: str) -> BaseSessionService | None:
    """The Redis service of google-adk-community, if it is installed."""
    try:
        from google.adk_community.sessions import RedisSessionService
    except ImportError:
        return None
    service: BaseSessionService = RedisSessionService(uri=url)
    return service
