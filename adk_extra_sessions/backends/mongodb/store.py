"""The blocking store on MongoDB: options and a client, made into a backend for ADK's rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

from pymongo import MongoClient
from typing_extensions import Unpack

from adk_extra_sessions.backends.mongodb.backend import MongoBackend
from adk_extra_sessions.backends.mongodb.client import checked_client, database_name, make_client
from adk_extra_sessions.backends.mongodb.driver_options import MongoDriverOptions
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.options import History, MongoOptions
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.telemetry import traced
from adk_extra_sessions.urls import exactly_one


class MongoSessionStore(SessionStore):
    """A blocking session store on MongoDB, for scripts and notebooks.

    `MongoSessionService` is the same for a `Runner`.

    Args:
        mongo_url: `mongodb://` or `mongodb+srv://` as pymongo takes it, or
            `mongomock://NAME` for an in-process fake. The options below may
            be given in its query string.
        db_name: The database; may be the URL's path instead.
        client: Instead of a URL: a `pymongo.MongoClient`. The store never closes it.
        collection_prefix: The prefix of the names of the collections.
        ttl: How long after its last write a session expires: seconds, a
            timedelta or a text such as "30d"; None for never.
        on_stale: What to do with an event for a session that was changed in
            storage since it was loaded: "raise" `StaleSessionError`, or
            "append" it at the end.
        unserializable: What to do with a state value that has no JSON form:
            "raise" `StateValueError`, or "coerce" it to a string with a warning.
        history: Which events `get_session` loads without a config: "all";
            "compacted" for those that no summary of ADK's event compaction
            replaces; or a number, for at least that many of the newest.
            Function calls that wait for a response are always among them.
        cache: How much decoded history to keep in memory, so that
            `get_session` without a config reads and decodes only new events:
            bytes of stored events, or a text such as "64MB"; None for
            nothing. The sessions share the event objects: do not change them.
        **client_options: Passed to `pymongo.MongoClient`.

    Raises:
        ConfigurationError: A wrong URL or option, or no database name.
    """

    backend: MongoBackend

    def __init__(
        self,
        mongo_url: str | None = None,
        db_name: str | None = None,
        *,
        client: MongoClient[Any] | None = None,
        collection_prefix: str | None = None,
        ttl: float | timedelta | str | None = None,
        on_stale: Literal["raise", "append"] | None = None,
        unserializable: Literal["raise", "coerce"] | None = None,
        history: History | None = None,
        cache: int | str | None = None,
        **client_options: Unpack[MongoDriverOptions],
    ) -> None:
        exactly_one(mongo_url=mongo_url, client=client)
        given = dict(
            collection_prefix=collection_prefix,
            ttl=ttl,
            on_stale=on_stale,
            unserializable=unserializable,
            history=history,
            cache=cache,
        )
        self._arguments = {"mongo_url": mongo_url, "db_name": db_name, **given, **client_options}
        self._owns_client = client is None
        url, options = MongoOptions.read(mongo_url, given)
        self.client: Any = checked_client(client) if client is not None else make_client(str(url), client_options)
        self.db_name: str = db_name or (database_name(url) if isinstance(url, str) else None) or ""
        if not self.db_name:
            if self._owns_client:
                self.client.close()
            raise ConfigurationError(f"No database for {redact(mongo_url)}: give db_name= or a path in the URL.")
        self.collection_prefix: str = options.collection_prefix
        backend = MongoBackend(
            self.client,
            self.db_name,
            redact(url) if self._owns_client else f"database {db_name!r} of the client given",
            owns_client=self._owns_client,
            collection_prefix=self.collection_prefix,
            ttl_ms=options.ttl_ms,
        )
        super().__init__(backend, options)

    def __repr__(self) -> str:
        place = redact(self._arguments["mongo_url"]) if self._owns_client else "client given"
        return f"{type(self).__name__}({place!r}, db_name={self.db_name!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._owns_client:
            raise TypeError(f"A {type(self).__name__} with client= cannot be pickled: create it with a mongo_url.")
        return _rebuilt, (type(self), self._arguments)

    @traced
    def ensure_indexes(self) -> None:
        """Makes the indexes that are not there.

        Call it at start-up; otherwise the first write does it. Reading makes none.
        Without the right to make indexes a warning is logged and everything
        still works.
        """
        with self.operation("ensure_indexes"):
            self.backend.ensure_indexes()


def _rebuilt(cls: type[MongoSessionStore], arguments: dict[str, Any]) -> MongoSessionStore:
    return cls(**arguments)
