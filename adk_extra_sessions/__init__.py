"""ADK sessions on Redis and MongoDB: services for a `Runner`, blocking stores for everything else.

    from adk_extra_sessions import RedisSessionService, MongoSessionService
    from adk_extra_sessions import RedisSessionStore, MongoSessionStore

Each name is imported, with its database driver, when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adk_extra_sessions.errors import (
        AlreadyExistsError,
        ConfigurationError,
        CorruptRecordError,
        EventTooLargeError,
        EventValueError,
        InputValidationError,
        NotReplicatedError,
        SessionConflictError,
        SessionFileError,
        SessionNotFoundError,
        StaleSessionError,
        StateValueError,
    )
    from adk_extra_sessions.stores.base import SessionStore
    from adk_extra_sessions.stores.mongodb.service import MongoSessionService
    from adk_extra_sessions.stores.mongodb.store import MongoSessionStore
    from adk_extra_sessions.stores.redis.service import RedisSessionService
    from adk_extra_sessions.stores.redis.store import RedisSessionStore

__version__ = "0.1.0"

_homes = {
    "AlreadyExistsError": "errors",
    "ConfigurationError": "errors",
    "CorruptRecordError": "errors",
    "EventTooLargeError": "errors",
    "EventValueError": "errors",
    "InputValidationError": "errors",
    "MongoSessionService": "stores.mongodb.service",
    "MongoSessionStore": "stores.mongodb.store",
    "NotReplicatedError": "errors",
    "RedisSessionService": "stores.redis.service",
    "RedisSessionStore": "stores.redis.store",
    "SessionConflictError": "errors",
    "SessionFileError": "errors",
    "SessionNotFoundError": "errors",
    "SessionStore": "stores.base",
    "StaleSessionError": "errors",
    "StateValueError": "errors",
}

_extras = {"redis": "redis", "pymongo": "mongodb", "bson": "mongodb"}

__all__ = [
    "AlreadyExistsError",
    "ConfigurationError",
    "CorruptRecordError",
    "EventTooLargeError",
    "EventValueError",
    "InputValidationError",
    "MongoSessionService",
    "MongoSessionStore",
    "NotReplicatedError",
    "RedisSessionService",
    "RedisSessionStore",
    "SessionConflictError",
    "SessionFileError",
    "SessionNotFoundError",
    "SessionStore",
    "StaleSessionError",
    "StateValueError",
]


if not TYPE_CHECKING:  # seeing this, type checkers would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _homes:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            home = import_module(f"{__name__}.{_homes[name]}")
        except ModuleNotFoundError as error:
            extra = _extras.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            reason = f"{name} needs {error.name}: pip install 'adk-extra-sessions[{extra}]'"
            raise ModuleNotFoundError(reason, name=error.name) from None
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes})
