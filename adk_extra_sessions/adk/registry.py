"""The URLs of this package, for ADK's command line: `adk web --session_service_uri=redis://…`.

In a `services.py` beside your agents, where ADK looks for it:

    from adk_extra_sessions.adk.registry import register

    register()
"""

from __future__ import annotations

from typing import Any

from google.adk.cli.service_registry import get_service_registry

from adk_extra_sessions.aio.mongodb import MongoSessionService
from adk_extra_sessions.aio.redis import RedisSessionService
from adk_extra_sessions.urls import MONGO_SCHEMES, REDIS_SCHEMES


def register() -> None:
    """Registers the schemes of this package's URLs in ADK's service registry.

    They replace what is registered under the same schemes. May be called any
    number of times. A driver is imported when a URL of its database is used.
    """
    registry = get_service_registry()
    for scheme in REDIS_SCHEMES:
        registry.register_session_service(scheme, _redis)
    for scheme in MONGO_SCHEMES:
        registry.register_session_service(scheme, _mongo)


def _redis(uri: str, **options: Any) -> RedisSessionService:
    return RedisSessionService(uri=uri, **options)


def _mongo(uri: str, **options: Any) -> MongoSessionService:
    return MongoSessionService(uri=uri, **options)
