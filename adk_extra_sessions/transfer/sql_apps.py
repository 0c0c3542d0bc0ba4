"""Lists the apps in a database of ADK's SQL services, which cannot do it themselves.

Both services have a table `sessions` with a column `app_name`. It is only read, and checked
before the service is used, since the service would create its tables in any database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from google.adk.sessions import BaseSessionService

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import redact

_APPS = "SELECT DISTINCT app_name FROM sessions ORDER BY app_name"
_TABLE = "SELECT app_name FROM sessions LIMIT 1"

Query: TypeAlias = Callable[[str], Awaitable[list[str]]]
"""Runs one of the two statements above."""


class SqlApps:
    """The apps in a database of one of ADK's SQL services."""

    def __init__(self, query: Query) -> None:
        self._query = query

    async def names(self) -> list[str]:
        """Returns the apps that have sessions.

        Raises:
            ConfigurationError: ADK has stored nothing in this database.
        """
        return await self._query(_APPS)

    async def check(self) -> None:
        """Checks that the table of sessions exists.

        Raises:
            ConfigurationError: ADK has stored nothing in this database.
        """
        await self._query(_TABLE)


def sql_apps(service: BaseSessionService, url: str) -> SqlApps | None:
    """Returns an object that lists the apps of a service; None if it is not one of ADK's SQL services.

    Args:
        service: The service.
        url: The URL it was created from.
    """
    engine = getattr(service, "db_engine", None)
    if engine is not None:
        shown = (url.startswith("sqlite") and sqlite_path(url)) or redact(url)
        return SqlApps(partial(_query_engine, engine, shown))
    if type(service).__name__ == "SqliteSessionService" and url.startswith("sqlite://"):
        return SqlApps(partial(_query_file, sqlite_path(url)))
    return None


def sqlite_path(url: str) -> str:
    """Returns the path of the file in a URL of SQLite; "" for a database in memory, or a URI of SQLite's own."""
    path = urlsplit(url).path.removeprefix("/")  # not decoded, as ADK reads it
    if not url.startswith("sqlite://"):
        path = import_module("sqlalchemy").make_url(url).database or ""  # whose versions decode it differently
    return "" if path == ":memory:" or path.startswith("file:") else path


async def _query_file(path: str, statement: str) -> list[str]:
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
            return [name for (name,) in connection.execute(statement)]
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"ADK's SqliteSessionService has stored nothing in {path!r}: {error}.") from None


async def _query_engine(engine: Any, shown: str, statement: str) -> list[str]:
    sqlalchemy = import_module("sqlalchemy")  # not a dependency, so mypy may not find it
    async with engine.connect() as connection:
        if not await connection.run_sync(lambda plain: sqlalchemy.inspect(plain).has_table("sessions")):
            raise ConfigurationError(
                f"ADK's DatabaseSessionService has stored nothing in {shown}: there is no table 'sessions'."
            )
        return [name for (name,) in await connection.execute(sqlalchemy.text(statement))]
