"""Options that every store has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, frozen, validators

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.urls import choice, milliseconds

History: TypeAlias = Literal["all", "compacted"] | int


@frozen
class StoreOptions:
    """Options that every store has.

    Attributes:
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
        on_stale: What an append to a superseded session does: "raise"
            `StaleSessionError`, or "append" the event at the end all the same.
        unserializable: What becomes of a state value without a JSON form:
            "raise" `StateValueError`, or "coerce" it to a string with a warning.
        history: Which events `get_session` loads when it is given no config:
            "all"; "compacted", those that no summary of ADK's compaction
            replaces; or at least so many of the newest. In both cases calls
            that wait for an answer are loaded too.
    """

    ttl_ms: int = 0
    on_stale: Literal["raise", "append"] = field(default="raise", validator=validators.in_(("raise", "append")))
    unserializable: Literal["raise", "coerce"] = field(default="raise", validator=validators.in_(("raise", "coerce")))
    history: History = "all"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> StoreOptions:
        """Reads them from arguments and from a URL's query string alike.

        Raises:
            ConfigurationError: One of them is wrong.
        """
        return cls(
            milliseconds("ttl", options.get("ttl")),
            choice("on_stale", options.get("on_stale"), ("raise", "append")),
            choice("unserializable", options.get("unserializable"), ("raise", "coerce")),
            history_of(options.get("history")),
        )


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
