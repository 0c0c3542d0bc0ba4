"""Which options a redis-py client takes, checked when it is made and not at its first connection."""

from __future__ import annotations

import codecs
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any
from urllib.parse import unquote, urlencode

import redis
from redis.credentials import CredentialProvider
from redis.retry import Retry

from adk_extra_sessions.backends.redis.pool import made_pool
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import Reading, redact
from adk_extra_sessions.urls import query_names, query_options, refuse_unknown

_TEXTS = re.compile(
    r"host|path|username|password|client_name|lib_name|lib_version|decode_responses|protocol|encoding\w*|ssl_\w+"
)
"""Options that may be texts. Others in a URL become numbers and booleans, or redis-py cannot use them there."""

_DATABASE = re.compile(r"/?|/[0-9]+/?")
"""The paths of URLs that redis-py does not ignore."""


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _utf8(value: object) -> bool:
    return isinstance(value, str) and value.lower().replace("-", "") == "utf8"


def _error_handler(value: object) -> bool:
    try:
        return isinstance(value, str) and codecs.lookup_error(value) is not None
    except LookupError:
        return False


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("db", "port", "timeout", "socket_timeout", "socket_connect_timeout", "health_check_interval"),
        ("a number", _number),
    ),
    "connection_class": ("a class", inspect.isclass),
    "credential_provider": ("a redis.CredentialProvider", lambda value: isinstance(value, CredentialProvider)),
    "encoding": ("utf-8", _utf8),
    "encoding_errors": ("the name of an error handler", _error_handler),
    "parser_class": ("a class", inspect.isclass),
    "protocol": ("2 or 3", lambda value: str(value) in ("2", "3")),
    "redis_connect_func": ("a function", callable),
    "retry": ("a redis.retry.Retry", lambda value: isinstance(value, Retry)),
    "retry_on_error": ("a list of exceptions", lambda value: all(map(inspect.isclass, value))),
    "socket_keepalive_options": ("a dictionary", lambda value: isinstance(value, Mapping)),
}
"""For an option, what it must be, and whether a value is that. None is always allowed."""


def check_path(url: str) -> None:
    """Refuses a path that redis-py would ignore, so that nobody gets database 0 by mistake.

    Raises:
        ConfigurationError: The path of a `redis://` or `rediss://` URL is not the number of a database.
    """
    reading = Reading.of(url)
    if reading and reading.scheme in ("redis", "rediss") and not _DATABASE.fullmatch(unquote(reading.path)):
        raise ConfigurationError(
            f"The path of {redact(url)} must be empty or the number of a database, such as /0. "
            "To keep data apart by a name, use the option 'prefix'."
        )


def check_names(url: str, options: Mapping[str, Any]) -> None:
    """Refuses options that a connection to this URL does not take.

    Raises:
        ConfigurationError: There is one; names it, unless it may be part of a password.
    """
    refuse_unknown(url, options, _names(_CONNECTIONS.values()) | _names([redis.Redis]), "redis-py")
    scheme = url.partition("://")[0]
    if "connection_class" in options:
        return
    taken = _names([_CONNECTIONS.get(scheme, redis.Connection)])
    for name in (*options, *query_names(url)):
        if name not in taken:
            remedy = "rediss:// URL" if name.startswith("ssl") and scheme == "redis" else "URL of another kind"
            raise ConfigurationError(f"Option {name!r} has no effect on {scheme}://; it needs a {remedy}.")


def check_values(url: str, options: Mapping[str, Any], pool: redis.ConnectionPool) -> None:
    """Refuses values that would fail at the first connection.

    Args:
        url: The URL, for the options in its query string.
        options: Those passed as arguments.
        pool: The pool that redis-py made of both.

    Raises:
        ConfigurationError: There is one; names its option.
    """
    given = {**pool.connection_kwargs, "connection_class": pool.connection_class, **options}
    in_url = set(query_names(url))
    for name in (*options, *in_url):
        value = given.get(name)
        what, fits = _CHECKS.get(name, ("of another type, and an argument", lambda _: True))
        if name in in_url and isinstance(value, str) and not _TEXTS.fullmatch(name):
            raise ConfigurationError(f"Option {name!r} must be {what}; in a URL it is a text.")
        if value is not None and not _fits(value, fits):
            raise ConfigurationError(f"Option {name!r} must be {what}, not a {type(value).__name__}.")
    try:
        pool.connection_class(**pool.connection_kwargs)  # which does not connect yet
        return
    except (TypeError, ValueError, AttributeError, redis.RedisError):
        pass  # its words may hold a value
    raise ConfigurationError(
        f"redis-py cannot use one of the options {', '.join(sorted({*options, *in_url}))} for {redact(url)}."
    )


def refused(url: str, options: Mapping[str, Any]) -> ConfigurationError:
    """Returns the error for what redis-py does not take; names the option, if it is one."""
    for name, text in query_options(url):
        if made_pool(f"redis://host?{urlencode({name: text})}", {}) is None:
            return ConfigurationError(f"Option {name!r} has a value that redis-py does not take.")
    for name, value in options.items():
        if made_pool("redis://host", {name: value}) is None:
            return ConfigurationError(f"Option {name!r} has a value that redis-py does not take.")
    return ConfigurationError(f"redis-py cannot use this URL: {redact(url)}.")


def _fits(value: object, check: Callable[[Any], bool]) -> bool:
    try:
        return check(value)
    except TypeError:
        return False


_CONNECTIONS: dict[str, type] = {
    "redis": redis.Connection,
    "rediss": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
}


def _names(classes: Iterable[type]) -> set[str]:
    """Returns the options of connections of these classes, and of their pool."""
    known = {"retry", "retry_on_error", "connection_class"}
    for cls in {base for one in (*classes, redis.BlockingConnectionPool) for base in one.__mro__}:
        known.update(inspect.signature(vars(cls).get("__init__", object)).parameters)
    return known - {"self", "args", "kwargs", "connection_kwargs", "kwds"}
