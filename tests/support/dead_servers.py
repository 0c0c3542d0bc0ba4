"""Services with short timeouts, for servers that do not answer."""

from __future__ import annotations

from typing import Any

import redis
from pymongo.errors import PyMongoError
from support.servers import RedisServer, Server

from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

PASSWORD = "swordfish"

BOUND = 20.0
"""Seconds in which every call must have ended: ten times what the timeouts below add up to."""

REDIS = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}

MONGO = {"timeoutMS": 1000, "connectTimeoutMS": 500, "serverSelectionTimeoutMS": 1000}


def driver_error(service: SessionService) -> type[Exception]:
    """What the service's driver raises."""
    return redis.RedisError if isinstance(service, RedisSessionService) else PyMongoError


def service_on(server: Server, **options: Any) -> SessionService:
    """Makes a service on a server that may stop."""
    if isinstance(server, RedisServer):
        return RedisSessionService(server.url, **REDIS, **options)
    return MongoSessionService(server.url, "stopped", **MONGO, **options)
