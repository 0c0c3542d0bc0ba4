"""Opens a place for a command; a server that does not answer is reported within seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from adk_extra_sessions.cli.output import console
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.transfer import Place, StorePlace, open_place
from adk_extra_sessions.transfer.opening import is_store_url, resolved
from adk_extra_sessions.urls import query_names

SECONDS = 4
"""How long a command waits for a server's first answer, unless the URL has a timeout of its own."""

QUIET = 1
"""Seconds after which a command says that it is waiting."""


@contextmanager
def opened(url: str, *, must_exist: bool = False) -> Iterator[Place]:
    """Opens a place; if it is one of this package's stores, its server must answer first.

    Args:
        url: As for `open_place`.
        must_exist: As for `open_place`.
    """
    url = resolved(url)
    if is_store_url(url):
        with first_contact(url) as place:
            if isinstance(place, StorePlace):
                place.store.ping()
    with open_place(url, must_exist=must_exist) as place:
        yield place


@contextmanager
def first_contact(url: str) -> Iterator[Place]:
    """Opens a place whose driver gives up after a few seconds; reports that it is waiting.

    Only for the first contact: long work needs longer timeouts, for example for a failover.
    """
    url = resolved(url)
    message = f"Waiting for an answer from {redact(url)} ..."
    timer = Timer(QUIET, lambda: console(stderr=True).print(message))
    timer.daemon = True
    timer.start()
    try:
        with open_place(url, **_short_timeouts(url)) as place:
            yield place
    finally:
        timer.cancel()


def _short_timeouts(url: str) -> dict[str, Any]:
    scheme = url.partition("://")[0]
    if not is_store_url(url) or scheme in ("fakeredis", "mongomock"):
        return {}
    if scheme.startswith("mongodb"):
        names = {"serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS"}
        given = {name.lower() for name in query_names(url)}
        return {} if given & {"timeoutms", *map(str.lower, names)} else dict.fromkeys(names, SECONDS * 1000)
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    names = {"socket_connect_timeout", "socket_timeout"}
    if names & set(query_names(url)):
        return {}
    return {**dict.fromkeys(names, SECONDS), "retry": Retry(NoBackoff(), 0)}
