"""Creates ADK's own session services from URLs: those in ADK's registry, for SQL databases, Redis and MongoDB."""

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
"""The prefix of the URL schemes for ADK's services on Redis and MongoDB."""

SCHEMES = ("adk-redis", "adk-rediss", "adk-unix", "adk-mongodb", "adk-mongodb+srv")


def registered_service(url: str) -> BaseSessionService:
    """Creates the service that `adk web --session_service_uri` would make.

    Raises:
        ConfigurationError: ADK has no service for this URL, or a package for it is missing.
    """
    from google.adk.cli.service_registry import get_service_registry

    try:
        service = get_service_registry().create_session_service(url)
        if service is None:  # as ADK does: any other URL is one of SQLAlchemy's
            from google.adk.sessions import DatabaseSessionService

            service = DatabaseSessionService(db_url=url)
        return service
    except (ImportError, ValueError, RuntimeError) as error:
        reason = redact_text(str(error), url)
    raise ConfigurationError(f"ADK cannot open {redact(url)}: {reason}")


def prefixed_service(url: str, *, must_exist: bool = False) -> BaseSessionService:
    """Creates ADK's own service on Redis or MongoDB.

    Args:
        url: Its URL.
        must_exist: Whether a MongoDB database without sessions is an error; no indexes are created then.

    Raises:
        ConfigurationError: This version of google-adk has no such service, or the URL is not valid.
    """
    try:
        return _on_mongodb(url, must_exist) if url.startswith(f"{PREFIX}mongodb") else _on_redis(url)
    except ImportError as error:
        raise ConfigurationError(f"This version of google-adk cannot open {redact(url)}: {error}.") from None
    except ValueError as error:
        reason = str(error) if isinstance(error, ConfigurationError) else "the URL or one of its options is not valid"
    raise ConfigurationError(f"ADK cannot open {redact(url)}: {reason}.")


def check_file(url: str) -> None:
    """Checks that the file in a URL of SQLite exists; opening it would create it.

    Raises:
        ConfigurationError: There is no such file.
    """
    path = ""
    with suppress(ImportError):  # of SQLAlchemy: registered_service reports what is missing
        path = sqlite_path(url)
    if path and not Path(path).is_file():
        raise ConfigurationError(f"File {path!r} does not exist. An absolute path needs four slashes: sqlite:////path.")


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
        raise ConfigurationError("the URL must have a database in its path")
    if must_exist:
        with MongoClient[Any](plain) as client:
            if "sessions" not in client[database].list_collection_names():
                raise ConfigurationError(f"database {database!r} has no collection 'sessions'")
    return MongoDbSessionService(database_name=database, connection_string=plain, ensure_indexes=not must_exist)
