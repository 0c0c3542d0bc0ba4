"""Ways to damage the records of a session, a user or an app: as another program, or a person, may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER

KEY = SessionKey(APP, USER, "one")
"""The session that is damaged."""


def replaced(key: Callable[[SessionKeys], str], *command: Any) -> Callable[[RedisSessionStore], None]:
    """Puts something else where a key of ours is."""

    def damage(store: RedisSessionStore) -> None:
        name = key(SessionKeys.of(store.prefix, KEY))
        store.client.delete(name)
        if command:
            store.client.execute_command(command[0], name, *command[1:])

    return damage


def field(*command: Any) -> Callable[[RedisSessionStore], None]:
    """Changes the session's hash."""

    def damage(store: RedisSessionStore) -> None:
        store.client.execute_command(command[0], SessionKeys.of(store.prefix, KEY).session, *command[1:])

    return damage


def session_with(update: Any) -> Callable[[MongoSessionStore], None]:
    """Changes the session's document."""

    def damage(store: MongoSessionStore) -> None:
        store.backend.sessions.update_one({"session_id": "one"}, update)

    return damage


REDIS_SESSION: dict[str, Callable[[Any], None]] = {
    "a-text-for-the-session": replaced(lambda keys: keys.session, "SET", "foreign"),
    "a-foreign-hash": replaced(lambda keys: keys.session, "HSET", "foreign", "1"),
    "events-evicted": replaced(lambda keys: keys.events),
    "events-of-another-type": replaced(lambda keys: keys.events, "SET", "foreign"),
    "no-revision": field("HDEL", "revision"),
    "no-version": field("HDEL", "format"),
    "a-newer-version": field("HSET", "format", "99"),
    "a-version-of-words": field("HSET", "format", "foreign"),
}


MONGO_SESSION: dict[str, Callable[[Any], None]] = {
    "a-newer-version": session_with({"$set": {"format": 99}}),
    "a-version-of-words": session_with({"$set": {"format": "foreign"}}),
    "no-version": session_with({"$unset": {"format": 1}}),
    "no-revision": session_with({"$unset": {"revision": 1}}),
    "no-count": session_with({"$unset": {"tail_count": 1}}),
    "a-text-for-the-revision": session_with({"$set": {"revision": "foreign"}}),
}


REDIS_USER: dict[str, Callable[[Any], None]] = {
    "user-state-of-another-type": replaced(lambda keys: keys.user, "SET", "foreign"),
    "user-state-not-json": replaced(lambda keys: keys.user, "HSET", "state:a", "{"),
}


MONGO_USER: dict[str, Callable[[Any], None]] = {
    "user-state-of-another-type": lambda store: store.backend.states.update_one(
        {"user_id": USER}, {"$set": {"state": "x"}}
    ),
    "user-state-not-json": lambda store: store.backend.states.update_one(
        {"user_id": USER}, {"$set": {"state": {"a": {"_json": "{"}}}}
    ),
}


REDIS_APP: dict[str, Callable[[Any], None]] = {
    "app-state-of-another-type": replaced(lambda keys: keys.app, "SET", "foreign"),
    "app-state-not-json": replaced(lambda keys: keys.app, "HSET", "state:a", "{"),
}


MONGO_APP: dict[str, Callable[[Any], None]] = {
    "app-state-of-another-type": lambda store: store.backend.states.update_one(
        {"user_id": None}, {"$set": {"state": [1]}}
    ),
}


def pick(store: SessionStore, damage: str, redis: dict[str, Any], mongo: dict[str, Any]) -> None:
    """Does the damage, or leaves the test where the backend knows no such damage."""
    kinds = redis if isinstance(store, RedisSessionStore) else mongo
    kinds[damage](store)
