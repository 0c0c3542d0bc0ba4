"""Services with short timeouts, for servers that do not answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis
from pymongo.errors import PyMongoError
from support.servers import RedisServer, Server

from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER

T = TypeVar("T")

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

PASSWORD = "swordfish"

BOUND = 60.0
"""Seconds in which every call must have ended: much longer than the timeouts below add up to."""

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


def patiently(call: Callable[[], T]) -> T:
    """Makes a call again until a server that runs, however slowly, answers within the short timeouts."""
    deadline = time.monotonic() + BOUND
    while True:
        try:
            return call()
        except (redis.RedisError, PyMongoError):
            if time.monotonic() > deadline:
                raise


async def patiently_async(call: Callable[[], Awaitable[T]]) -> T:
    """As `patiently`, in an event loop."""
    deadline = time.monotonic() + BOUND
    while True:
        try:
            return await call()
        except (redis.RedisError, PyMongoError):
            if time.monotonic() > deadline:
                raise
