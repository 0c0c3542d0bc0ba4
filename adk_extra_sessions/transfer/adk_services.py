"""ADK's own session services by URL: those of its registry, any SQL database, and its Redis and MongoDB ones."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from google.adk.sessions import BaseSessionService

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import redact, redact_text
from adk_extra_sessions.transfer.sql_apps import sqlite_path
from adk_extra_sessions.urls import take_options

PREFIX = "adk-"
"""What the schemes of ADK's services on Redis and MongoDB begin with."""

SCHEMES = ("adk-redis", "adk-rediss", "adk-unix", "adk-mongodb", "adk-mongodb+srv")


def of_registry(url: str) -> BaseSessionService:
    """Makes the service that `adk web --session_service_uri` would make.

    Raises:
        ConfigurationError: ADK has none for this URL, or lacks a package for it.
    """
    from google.adk.cli.service_registry import get_service_registry

    try:
        service = get_service_registry().create_session_service(url)
        if service is None:  # as ADK does: anything else is a database of SQLAlchemy's
            from google.adk.sessions import DatabaseSessionService

            service = DatabaseSessionService(db_url=url)
        return service
    except (ImportError, ValueError, RuntimeError) as error:
        reason = redact_text(str(error), url)
    raise ConfigurationError(f"ADK cannot open {redact(url)}: {reason}")


def of_prefixed(url: str, *, must_exist: bool = False) -> BaseSessionService:
    """Makes ADK's own service on Redis or MongoDB.

    Args:
        url: Its URL.
        must_exist: Whether a MongoDB database without sessions is an error, and gets no indexes.

    Raises:
        ConfigurationError: This google-adk has none, or the URL is not one it takes.
    """
    try:
        return _on_mongodb(url, must_exist) if url.startswith(f"{PREFIX}mongodb") else _on_redis(url)
    except ImportError as error:
        raise ConfigurationError(f"This google-adk cannot open {redact(url)}: {error}.") from None
    except ValueError as error:
        reason = str(error) if isinstance(error, ConfigurationError) else "not a URL or option that it takes"
    raise ConfigurationError(f"ADK cannot open {redact(url)}: {reason}.")


def check_file(url: str) -> None:
    """Checks that the file in a URL of SQLite exists; opening it would create it.

    Raises:
        ConfigurationError: There is no such file.
    """
    path = ""
    with suppress(ImportError):  # of SQLAlchemy: of_registry names what is missing
        path = sqlite_path(url)
    if path and not Path(path).is_file():
        raise ConfigurationError(f"There is no file {path!r}. An absolute path has four slashes: sqlite:////path.")


def _on_redis(url: str) -> BaseSessionService:
    from google.adk.integrations.redis import RedisSessionService, RedisSessionServiceConfig
    from redis.asyncio import Redis

    plain, options = take_options(url.removeprefix(PREFIX), ("key_prefix", "ttl_seconds"))

    class ClosingRedisSessionService(RedisSessionService):
        """ADK's has no `close`."""

        async def close(self) -> None:
            await client.aclose()

    client = Redis.from_url(plain, decode_responses=True)
    return ClosingRedisSessionService(RedisSessionServiceConfig.model_validate({"uri": plain, **options}), client)


def _on_mongodb(url: str, must_exist: bool) -> BaseSessionService:
    from google.adk.integrations.mongodb import MongoDbSessionService
    from pymongo import MongoClient

    from adk_extra_sessions.backends.mongodb.client import database_name

    plain = url.removeprefix(PREFIX)
    database = database_name(plain)
    if database is None:
        raise ConfigurationError("its path must name the database")
    if must_exist:
        with MongoClient[Any](plain) as client:
            if "sessions" not in client[database].list_collection_names():
                raise ConfigurationError(f"its database {database!r} has no collection 'sessions'")
    return MongoDbSessionService(database_name=database, connection_string=plain, ensure_indexes=not must_exist)
