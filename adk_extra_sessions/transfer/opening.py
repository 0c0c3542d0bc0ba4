"""Opens the place that a URL, or the name of a service, refers to."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from functools import partial
from typing import Any

from anyio.from_thread import start_blocking_portal
from google.adk.sessions import BaseSessionService

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.transfer import adk_services
from adk_extra_sessions.transfer.places import Place, StorePlace
from adk_extra_sessions.transfer.services import ServicePlace
from adk_extra_sessions.transfer.sql_apps import sql_apps
from adk_extra_sessions.urls import MONGO_SCHEMES, REDIS_SCHEMES

_FACTORY = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")

STORES = {
    **dict.fromkeys(REDIS_SCHEMES, "RedisSessionStore"),
    **dict.fromkeys(MONGO_SCHEMES, "MongoSessionStore"),
}
"""The store that opens the URLs of each scheme; by name, since a driver is imported when its store is."""

EXAMPLES = "redis://localhost:6379, mongodb://localhost/DATABASE or sqlite:///sessions.db"


def open_place(url: str, *, must_exist: bool = False, **client_options: Any) -> Place:
    """Opens the place that a URL refers to; use it in a `with` statement.

    Args:
        url: One of

            * a URL of our stores: `redis://`, `rediss://`, `unix://`, `fakeredis://`,
              `mongodb://`, `mongodb+srv://`, `mongomock://`, with their options;
            * a URL that ADK's `--session_service_uri` takes: `sqlite:///`,
              `postgresql+asyncpg://` and so on;
            * `adk-redis://`, `adk-rediss://`, `adk-mongodb://`, `adk-mongodb+srv://`: ADK's own
              services on Redis (options `key_prefix`, `ttl_seconds`) and MongoDB;
            * `module:factory`: any other session service, or a function that returns one;
            * `env:NAME`: an environment variable that holds one of these, so that no
              password is visible in the list of processes.
        must_exist: Whether a database in which ADK has stored nothing is an error. Otherwise
            ADK's services create their tables, collections or files in it.
        **client_options: Passed to the driver of one of our stores.

    Raises:
        ConfigurationError: The URL is not valid, or there is nothing to open.
    """
    url = resolved(url)
    scheme = url.partition("://")[0] if "://" in url else ""
    if is_store_url(url):
        return StorePlace(_store(scheme, url, client_options), owns_store=True)
    if scheme in adk_services.SCHEMES:
        return _service_place(partial(adk_services.prefixed_service, url, must_exist=must_exist), url)
    if scheme:
        if must_exist and scheme.startswith("sqlite"):
            adk_services.check_file(url)
        return _service_place(partial(adk_services.registered_service, url), url, must_exist=must_exist)
    if _FACTORY.fullmatch(url):
        return _service_place(_imported(url), url)
    raise ConfigurationError(f"Expected a URL such as {EXAMPLES}, or module:factory; got {redact(url)}.")


def resolved(url: str) -> str:
    """Returns the URL; for `env:NAME`, the URL in that environment variable.

    Raises:
        ConfigurationError: There is no such environment variable.
    """
    name = url.removeprefix("env:")
    if name == url:
        return url
    if not os.environ.get(name):
        raise ConfigurationError(f"The environment variable {name} is not set.")
    return os.environ[name]


def is_store_url(url: str) -> bool:
    """Whether it is a URL of one of our stores."""
    return url.partition("://")[0] in STORES and "://" in url


def _store(scheme: str, url: str, client_options: dict[str, Any]) -> SessionStore:
    import adk_extra_sessions

    store: SessionStore = getattr(adk_extra_sessions, STORES[scheme])(url, **client_options)
    return store


def _service_place(made: Any, url: str, *, must_exist: bool = False) -> Place:
    running = start_blocking_portal()
    portal = running.__enter__()
    try:
        service = portal.call(_made, made)
        if isinstance(service, SessionService):
            service = service.store
        if isinstance(service, BaseSessionService):
            apps = sql_apps(service, url)
            if must_exist and apps is not None:
                portal.call(apps.check)
            return ServicePlace(service, portal, running, apps)
        if not isinstance(service, SessionStore):
            raise ConfigurationError(f"Expected a session service or a store, got {type(service).__name__}.")
    except BaseException:
        running.__exit__(None, None, None)
        raise
    running.__exit__(None, None, None)
    return StorePlace(service, owns_store=True)


async def _made(factory: Any) -> Any:
    # In the event loop that will run the service: its clients belong to that loop.
    service = factory() if callable(factory) else factory
    return await service if inspect.isawaitable(service) else service


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    if "" not in sys.path:  # as `python -m` does
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        text = f"Cannot import {name}: {error}. Expected a URL such as {EXAMPLES}, or module:factory."
        raise ConfigurationError(text) from None
    return found
