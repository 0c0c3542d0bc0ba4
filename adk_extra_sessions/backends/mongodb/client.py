"""Making a MongoClient from a URL, with limits on every wait."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pymongo import MongoClient
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.options import refused_client
from adk_extra_sessions.redaction import Reading, redact
from adk_extra_sessions.urls import MONGO_SCHEMES, checked_scheme, query_names

DEFAULTS: dict[str, Any] = {
    "timeoutMS": 20_000,
    "serverSelectionTimeoutMS": 20_000,  # older pymongo leaves this wait out of timeoutMS
    "connectTimeoutMS": 5_000,
    "w": "majority",
    "appname": "adk-extra-sessions",
}
"""The options of a client unless the caller gives others."""


FINER = {"serverselectiontimeoutms", "sockettimeoutms", "waitqueuetimeoutms", "wtimeoutms"}
"""Timeouts for parts of an operation, in lower case."""


def make_client(url: str, options: Mapping[str, Any]) -> Any:
    """Makes a client; it connects in the background.

    Args:
        url: `mongodb://`, `mongodb+srv://` or, for the in-process fake, `mongomock://NAME`.
        options: Keyword arguments of `pymongo.MongoClient`.

    Raises:
        ConfigurationError: The URL or an option is not one that pymongo takes.
    """
    if checked_scheme(url, MONGO_SCHEMES) == "mongomock":
        from adk_extra_sessions.testing.fakes import fake_mongo

        # What a server's client would refuse is refused here too.
        make_client(f"mongodb://fake/?{urlsplit(url).query}", {**options, "connect": False}).close()
        return fake_mongo(url)
    _parsed(url, options)
    given = {name.lower() for name in [*options, *query_names(url)]}
    defaults = {name: value for name, value in DEFAULTS.items() if name.lower() not in given}
    if given & FINER:
        # timeoutMS would override them; what is not given is bounded one by one.
        defaults.pop("timeoutMS", None)
        one_by_one = {"serverSelectionTimeoutMS": 10_000, "socketTimeoutMS": 20_000, "waitQueueTimeoutMS": 10_000}
        defaults.update({name: value for name, value in one_by_one.items() if name.lower() not in given})
    try:
        client: Any = MongoClient(url, **defaults, **options)
    except (PyMongoError, TypeError, ValueError):
        client = None  # its words may hold a part of the URL: ours must not have it as their context
    if client is None:
        raise _refused(url, options)
    return checked_client(client)


def checked_client(client: Any) -> Any:
    """Returns a client, if it is one that this package can use.

    Raises:
        ConfigurationError: It is not a blocking client, or does not acknowledge writes.
    """
    if any(cls.__module__.startswith("mongomock") for cls in type(client).__mro__):
        return client
    if not isinstance(client, MongoClient):
        raise refused_client(client, "a pymongo.MongoClient")
    if not client.write_concern.acknowledged:
        raise ConfigurationError("A client with w=0 cannot be used: its writes are not acknowledged.")
    return client


def address_of(client: Any) -> tuple[str, int | None] | None:
    """Returns where a client writes, as far as it knows without asking: the primary, or the only server."""
    if not isinstance(client, MongoClient):
        return None
    servers = list(client.topology_description.server_descriptions())
    return client.primary or (servers[0] if len(servers) == 1 else None)


def database_name(url: str) -> str | None:
    """Returns the database in the URL's path, if any."""
    if url.startswith("mongomock://"):
        return url.removeprefix("mongomock://").partition("?")[0].partition("/")[2] or None
    found = _parsed(url)["database"]
    return found if isinstance(found, str) else None


def _parsed(url: str, options: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    # The client looks mongodb+srv up by itself; path and options read alike. It
    # only warns of an unknown option, which parsing refuses.
    try:
        return parse_uri(url.replace("mongodb+srv://", "mongodb://", 1), validate=True, warn=False)
    except (PyMongoError, TypeError, ValueError):
        pass  # as above
    raise _refused(url, options)


def _refused(url: str, options: Mapping[str, Any]) -> ConfigurationError:
    """Returns the error for what pymongo refuses; names the option, unless it may be part of a password."""
    reading = Reading.of(url)
    nameable = list(reading.option_names) if reading is not None else []
    texts = dict(parse_qsl(reading.query, keep_blank_values=True)) if reading is not None else {}
    for name, value in [*((name, texts.get(name)) for name in nameable), *options.items()]:
        reason = _reason_against(name, value)
        if reason:
            return ConfigurationError(reason)
    return ConfigurationError(f"pymongo cannot use this URL or its options: {redact(url)}.")


def _reason_against(name: str, value: Any) -> str | None:
    """Returns why pymongo refuses an option by itself, if it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an unknown option in a URL it only warns
            if isinstance(value, str):
                parse_uri(f"mongodb://host/?{urlencode({name: value})}", validate=True, warn=False)
            elif not (name == "connect" and isinstance(value, bool)):  # or it would connect
                MongoClient("mongodb://host", **{"connect": False, name: value}).close()
    except DriverConfigurationError as error:
        if "nknown option" in str(error):
            return f"Unknown option {name!r}; neither pymongo nor adk-extra-sessions has it."
        return f"Option {name!r} has a value that pymongo does not take."
    except (PyMongoError, TypeError, ValueError, Warning):
        return f"Option {name!r} has a value that pymongo does not take."
    return None
