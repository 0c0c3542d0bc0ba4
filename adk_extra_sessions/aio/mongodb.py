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
        uri: The same as `mongo_url`; what ADK's `services.yaml` calls it.
        store: Instead of a URL, a store. It is not closed with the service.
        agents_dir: Passed by ADK's command line; not needed.
        client: As for `MongoSessionStore`, and so are all that follow.
        collection_prefix: What the names of the collections begin with.
        ttl: Seconds, a timedelta or a text such as "30d" after its last
            write at which a session expires. None: never.
        on_stale: What an append to a superseded session does: "raise"
            `StaleSessionError`, or "append" the event at the end.
        unserializable: What to do with a state value without a JSON form:
            "raise" `StateValueError`, or "coerce" it to a string with a warning.
        history: Which events `get_session` loads when it is given no config:
            "all"; "compacted", those that no summary of ADK's compaction
            replaces; or at least so many of the newest. In both cases calls
            that wait for an answer are loaded too.
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
        )
        if store is None:
            from adk_extra_sessions import MongoSessionStore  # names what to install if the driver is missing

            made = MongoSessionStore(mongo_url or uri, client=client, **given, **client_options)
            super().__init__(made, owns_store=True)
        else:
            refuse_with_store({**given, **client_options})
            super().__init__(store)
