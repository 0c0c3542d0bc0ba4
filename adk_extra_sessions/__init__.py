"""ADK sessions on Redis and MongoDB: services for a `Runner`, blocking stores for everything else.

    from adk_extra_sessions import RedisSessionService, MongoSessionService
    from adk_extra_sessions import RedisSessionStore, MongoSessionStore

Each name is imported, with its database driver, when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adk_extra_sessions.adk.turn_plugin import TurnPlugin
    from adk_extra_sessions.aio.mongodb import MongoSessionService
    from adk_extra_sessions.aio.redis import RedisSessionService
    from adk_extra_sessions.aio.service import SessionService
    from adk_extra_sessions.backends.mongodb.store import MongoSessionStore
    from adk_extra_sessions.backends.redis.store import RedisSessionStore
    from adk_extra_sessions.details import SessionDetails
    from adk_extra_sessions.erasing import ErasureReceipt
    from adk_extra_sessions.errors import (
        AlreadyExistsError,
        ClosedError,
        ConfigurationError,
        CorruptRecordError,
        EventTooLargeError,
        EventValueError,
        InputValidationError,
        MissingExtraError,
        NotReplicatedError,
        SessionBusyError,
        SessionConflictError,
        SessionFileError,
        SessionNotFoundError,
        StaleSessionError,
        StateValueError,
        TurnLostError,
    )
    from adk_extra_sessions.pruning import Pruned
    from adk_extra_sessions.session import Session, SessionsPage
    from adk_extra_sessions.store import SessionStore

__version__ = "0.2.0"

_homes = {
    "AlreadyExistsError": "errors",
    "ClosedError": "errors",
    "ConfigurationError": "errors",
    "CorruptRecordError": "errors",
    "ErasureReceipt": "erasing",
    "EventTooLargeError": "errors",
    "EventValueError": "errors",
    "InputValidationError": "errors",
    "MissingExtraError": "errors",
    "MongoSessionService": "aio.mongodb",
    "MongoSessionStore": "backends.mongodb.store",
    "NotReplicatedError": "errors",
    "Pruned": "pruning",
    "RedisSessionService": "aio.redis",
    "RedisSessionStore": "backends.redis.store",
    "Session": "session",
    "SessionBusyError": "errors",
    "SessionConflictError": "errors",
    "SessionDetails": "details",
    "SessionFileError": "errors",
    "SessionNotFoundError": "errors",
    "SessionService": "aio.service",
    "SessionStore": "store",
    "SessionsPage": "session",
    "StaleSessionError": "errors",
    "StateValueError": "errors",
    "TurnLostError": "errors",
    "TurnPlugin": "adk.turn_plugin",
}

# For each package that a driver brings: the driver, and the extra that installs it.
_extras = {"redis": ("redis", "redis"), "pymongo": ("pymongo", "mongodb"), "bson": ("pymongo", "mongodb")}

__all__ = [
    "AlreadyExistsError",
    "ClosedError",
    "ConfigurationError",
    "CorruptRecordError",
    "ErasureReceipt",
    "EventTooLargeError",
    "EventValueError",
    "InputValidationError",
    "MissingExtraError",
    "MongoSessionService",
    "MongoSessionStore",
    "NotReplicatedError",
    "Pruned",
    "RedisSessionService",
    "RedisSessionStore",
    "Session",
    "SessionBusyError",
    "SessionConflictError",
    "SessionDetails",
    "SessionFileError",
    "SessionNotFoundError",
    "SessionService",
    "SessionStore",
    "SessionsPage",
    "StaleSessionError",
    "StateValueError",
    "TurnLostError",
    "TurnPlugin",
]


if not TYPE_CHECKING:  # seeing this, type checkers would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _homes:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            home = import_module(f"{__name__}.{_homes[name]}")
        except ModuleNotFoundError as error:
            found = _extras.get((error.name or "").partition(".")[0])
            if found is None:
                raise
            driver, extra = found
            from adk_extra_sessions.errors import MissingExtraError

            reason = f"{driver} is not installed: install the extra {extra!r} of adk-extra-sessions"
            raise MissingExtraError(reason, name=driver) from None
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes})
