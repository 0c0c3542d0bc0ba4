"""The options of stores: each is declared here once, as a field of its store's class of options.

The keyword arguments of stores and services, the options in URLs and the
descriptions in docstrings have the same names; `tests/test_signatures.py` compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, fields, frozen
from typing_extensions import Self

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.urls import choice, flag, joined, milliseconds, size, take_options

History: TypeAlias = Literal["all", "compacted"] | int


def history_of(value: object) -> History:
    """Returns which events to load; None for all.

    Raises:
        ConfigurationError: It is neither a known word nor a positive number.
    """
    if value is None or value in ("all", "compacted"):
        return value or "all"
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and number > 0:
        return number
    raise ConfigurationError(f"history must be 'all', 'compacted' or a positive number; got {value!r}.")


def _ttl(value: object) -> int:
    return milliseconds("ttl", value)


def _cache(value: object) -> int:
    return size("cache", value)


def _on_stale(value: object) -> Any:
    return choice("on_stale", value, ("raise", "append"))


def _unserializable(value: object) -> Any:
    return choice("unserializable", value, ("raise", "coerce"))


def _refresh_on_read(value: object) -> bool:
    return flag("refresh_on_read", value)


def _prefix(value: object) -> str:
    if not isinstance(value, str) or re.search("[{}\ud800-\udfff]", value):  # braces would make another hash tag
        raise ConfigurationError(f"prefix must be Unicode text without braces; got {value!r}.")
    return value


@frozen(kw_only=True)
class StoreOptions:
    """Options that every store has. Each may be a string, as in a URL; None means the default.

    Attributes:
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

    Raises:
        ConfigurationError: One of them is wrong.
    """

    ttl_ms: int = field(default=None, alias="ttl", converter=_ttl)
    on_stale: Literal["raise", "append"] = field(default=None, converter=_on_stale)
    unserializable: Literal["raise", "coerce"] = field(default=None, converter=_unserializable)
    history: History = field(default=None, converter=history_of)
    cache_bytes: int = field(default=None, alias="cache", converter=_cache)

    def __attrs_post_init__(self) -> None:
        if self.cache_bytes and self.history != "all":
            raise ConfigurationError(f"cache needs history='all', not {self.history!r}, which loads little anyway.")

    @classmethod
    def names(cls) -> list[str]:
        """Returns the names of all options."""
        return [one.alias for one in fields(cls)]

    @classmethod
    def read(cls, url: str | None, given: Mapping[str, Any]) -> tuple[str | None, Self]:
        """Reads options from a URL's query string and from arguments.

        Args:
            url: A URL that may also have options of the driver; None if there is none.
            given: The arguments by name; None for one that was not passed.

        Returns:
            The URL without the options, and the options.

        Raises:
            ConfigurationError: One of them is wrong, or is given twice.
        """
        taken: dict[str, str] = {}
        if isinstance(url, str):
            url, taken = take_options(url, cls.names())
        return url, cls(**joined(taken, {name: given[name] for name in cls.names()}))


@frozen(kw_only=True)
class RedisOptions(StoreOptions):
    """Options of a store on Redis.

    Attributes:
        prefix: The prefix of all keys; None for "adk".
        refresh_on_read: Whether reading a session starts its `ttl` again, like a write.
        wait_replicas: How many replicas must have a write before the call
            returns; None for none.
        wait_timeout: How long to wait for them, given like `ttl`; None for 2 seconds.
    """

    prefix: str = field(default="adk", converter=_prefix)
    refresh_on_read: bool = field(default=None, converter=_refresh_on_read)
    wait_replicas: object = None
    wait_timeout: object = None


@frozen(kw_only=True)
class MongoOptions(StoreOptions):
    """Options of a store on MongoDB.

    Attributes:
        collection_prefix: The prefix of the names of the collections.
    """

    collection_prefix: str = ""


def refused_client(client: object, accepted: str) -> ConfigurationError:
    """Returns the error for a client that a store cannot use.

    Args:
        client: What was passed as `client`.
        accepted: What may be passed instead.
    """
    cls = type(client)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if any(word in name.lower() for word in ("async", "aio", "motor")):
        return ConfigurationError(
            f"client must be {accepted}; a {name} is an asyncio client. "
            "Services too take a blocking client, and call it in threads of their own."
        )
    return ConfigurationError(f"client must be {accepted}, not a {name}.")
