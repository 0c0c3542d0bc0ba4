"""The async service on MongoDB."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from adk_extra_sessions.aio.basic_service import given_options, refuse_with_store
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.options import History
from adk_extra_sessions.urls import exactly_one

if TYPE_CHECKING:
    from pymongo import MongoClient

    from adk_extra_sessions.backends.mongodb.driver_options import MongoDriverOptions
    from adk_extra_sessions.backends.mongodb.store import MongoSessionStore


class MongoSessionService(SessionService):
    """Sessions on MongoDB, for a `Runner`.

    Args:
        mongo_url: As for `MongoSessionStore`.
        db_name: The database; may be the URL's path instead.
        uri: The same as `mongo_url`, by the name that ADK's `services.yaml` uses.
        store: Instead of a URL: a store. The service does not close it.
        agents_dir: Not used; ADK's command line passes it.
        client: As for `MongoSessionStore`, like all options below.
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
        ConfigurationError: A wrong URL, option or combination of them.
    """

    store: MongoSessionStore

    def __init__(
        self,
        mongo_url: str | None = None,
        db_name: str | None = None,
        *,
        uri: str | None = None,
        store: MongoSessionStore | None = None,
        agents_dir: str | None = None,
        client: MongoClient[Any] | None = None,
        collection_prefix: str | None = None,
        ttl: float | timedelta | str | None = None,
        on_stale: Literal["raise", "append"] | None = None,
        unserializable: Literal["raise", "coerce"] | None = None,
        history: History | None = None,
        cache: int | str | None = None,
        **client_options: Unpack[MongoDriverOptions],
    ) -> None:
        exactly_one(mongo_url=mongo_url, uri=uri, store=store, client=client)
        given = given_options(
            db_name=db_name,
            collection_prefix=collection_prefix,
            ttl=ttl,
            on_stale=on_stale,
            unserializable=unserializable,
            history=history,
            cache=cache,
        )
        if store is None:
            from adk_extra_sessions import MongoSessionStore  # names what to install if the driver is missing

            made = MongoSessionStore(mongo_url or uri, client=client, **given, **client_options)
            super().__init__(made, owns_store=True)
        else:
            refuse_with_store({**given, **client_options})
            super().__init__(store)
