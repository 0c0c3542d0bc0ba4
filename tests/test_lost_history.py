"""The doctor finds what was lost or damaged by hand, reads on, and what it says to do helps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from conftest import BACKENDS
from support.conversations import fill_store

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.redis.layout import AppKeys, SessionKeys
from adk_extra_sessions.cli.main import main
from adk_extra_sessions.doctor import Finding, Level, examine
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, an_event

pytestmark = pytest.mark.slow

LONG = SessionKey(APP, "u:0", "long")
Damage = Callable[[Any], object]


def keys(store: RedisSessionStore) -> SessionKeys:
    return SessionKeys.of(store.prefix, LONG)


def replaced(store: RedisSessionStore, key: str) -> None:
    store.client.delete(key)
    store.client.set(key, "foreign")


def unlisted(store: RedisSessionStore) -> None:
    remove = store.client.srem if store.client.type(keys(store).index) in (b"set", "set") else store.client.zrem
    remove(keys(store).index, "long")


REDIS: dict[str, Damage] = {
    "list gone": lambda store: store.client.delete(keys(store).events),
    "list shorter": lambda store: store.client.rpop(keys(store).events),
    "session gone": lambda store: store.client.delete(keys(store).session),
    "session and list gone": lambda store: store.client.delete(keys(store).session, keys(store).events),
    "not listed": unlisted,
    "session of another type": lambda store: replaced(store, keys(store).session),
    "list of another type": lambda store: replaced(store, keys(store).events),
    "revision nonsense": lambda store: store.client.hset(keys(store).session, "revision", "nonsense"),
    "no version": lambda store: store.client.hdel(keys(store).session, "format"),
    "event nonsense": lambda store: store.client.lset(keys(store).events, 15, "nonsense"),
}

REDIS_SHARED: dict[str, Damage] = {
    "index of another type": lambda store: replaced(store, keys(store).index),
    "user's state of another type": lambda store: replaced(store, keys(store).user),
    "app's state of another type": lambda store: replaced(store, keys(store).app),
    "app's users of another type": lambda store: replaced(store, AppKeys.of(store.prefix, APP).users_by_expiry),
}


def chunks(store: MongoSessionStore) -> Any:
    return store.backend.history.chunks


def session(update: dict[str, Any]) -> Damage:
    return lambda store: store.backend.sessions.update_one({"session_id": "long"}, update)


MONGO: dict[str, Damage] = {
    "chunk gone": lambda store: chunks(store).delete_one({"first": {"$gt": 0}}),
    "all chunks gone": lambda store: chunks(store).delete_many({"events": {"$exists": True}}),
    "body gone": lambda store: chunks(store).delete_one({"body": {"$exists": True}}),
    "session gone": lambda store: store.backend.sessions.delete_one({"session_id": "long"}),
    "tail shorter": session({"$pop": {"tail": 1}}),
    "tail of another type": session({"$set": {"tail": "nonsense"}}),
    "tail of numbers": session({"$set": {"tail": [1, 2]}}),
    "revision nonsense": session({"$set": {"revision": "nonsense"}}),
    "no start_revision": session({"$unset": {"start_revision": 1}}),
    "no pending": session({"$unset": {"pending": 1}}),
    "pending nonsense": session({"$set": {"pending": [7]}}),
    "no format": session({"$unset": {"format": 1}}),
    "no names": session({"$unset": {"app_name": 1, "user_id": 1, "session_id": 1}}),
    "another user's name": session({"$set": {"user_id": "eve"}}),
    "chunk of another type": lambda store: chunks(store).update_one({"first": 0}, {"$set": {"events": "nonsense"}}),
}

MONGO_FOREIGN: dict[str, Damage] = {
    "a number": lambda store: store.backend.sessions.insert_one({"_id": 7, "app_name": APP, "user_id": "u:0"}),
    "one name": lambda store: store.backend.sessions.insert_one({"_id": "app", "app_name": APP}),
    "two names": lambda store: store.backend.sessions.insert_one({"_id": "app/u", "app_name": APP, "user_id": "u:0"}),
    "not encoded": lambda store: store.backend.sessions.insert_one(
        {"_id": "app/u:0/x y", "app_name": APP, "user_id": "u:0"}
    ),
    "a chunk": lambda store: chunks(store).insert_one({"_id": "nonsense", "app_name": APP}),
}


@pytest.fixture
def filled(store: SessionStore) -> SessionStore:
    fill_store(store, users=[0], lengths={"other": 3, "long": 450})
    live = store.get_session(app_name=APP, user_id="u:0", session_id="long")
    assert live is not None
    store.append_event(live, an_event("x" * 400_000, at=2000.0))
    for number in range(70):
        store.append_event(live, an_event(at=2001.0 + number))
    return store


def problems(store: SessionStore) -> list[Finding]:
    return [found for found in examine(store) if found.level is Level.PROBLEM]


def cases(redis: dict[str, Damage], mongo: dict[str, Damage]) -> Any:
    """All pairs of a backend and a damage."""
    return [
        pytest.param(backend, damage, id=f"{backend}-{name}")
        for backend in BACKENDS
        for name, damage in (redis if "redis" in backend else mongo).items()
    ]


@pytest.mark.parametrize(("backend", "damage"), cases(REDIS, MONGO), indirect=["backend"])
def test_lost_history_is_found_and_its_remedy_works(
    filled: SessionStore, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(filled) == []
    damage(filled)
    found = problems(filled)
    assert found and all("Session 'long' of user 'u:0' in app 'app'" in one.text for one in found), found
    assert "1 sessions with 3 events can be read" in " ".join(one.text for one in examine(filled))
    for one in found:
        command = re.search(r"adk-sessions rm URL (.+)$", one.remedy)
        assert command
        delete(filled, shlex.split(command[1]), monkeypatch)
    assert problems(filled) == []
    assert filled.get_session(app_name=APP, user_id="u:0", session_id="other") is not None


def delete(store: SessionStore, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the command on the very store, which for a Redis Cluster no URL names."""
    import types

    monkeypatch.setitem(__import__("sys").modules, "the_place", module := types.ModuleType("the_place"))
    module.store = store  # type: ignore[attr-defined]
    monkeypatch.setattr(store.backend, "close", lambda: None)
    monkeypatch.setattr(store, "close", lambda: None)
    assert main(["rm", "the_place:store", *names, "--yes"]) in (0, 1)


@pytest.mark.parametrize(("backend", "damage"), cases(REDIS_SHARED, MONGO_FOREIGN), indirect=["backend"])
def test_what_is_foreign_is_found_and_ends_nothing(filled: SessionStore, damage: Damage) -> None:
    damage(filled)
    found = problems(filled)
    assert found
    assert all(one.remedy for one in found)
    if isinstance(filled, MongoSessionStore):
        assert [one for one in found if "does not belong to adk-extra-sessions" in one.text] == found
        assert "2 sessions with 524 events can be read" in " ".join(one.text for one in examine(filled))


def test_a_session_deleted_meanwhile_is_no_problem(filled: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = filled.backend.earlier

    def deleted_meanwhile(record: Any) -> Any:
        filled.delete_session(app_name=APP, user_id="u:0", session_id="long")
        yield from earlier(record)

    monkeypatch.setattr(filled.backend, "earlier", deleted_meanwhile)
    found = list(examine(filled))
    assert not [one for one in found if one.level is Level.PROBLEM]
    assert "1 listed sessions have expired, or were deleted meanwhile" in " ".join(one.text for one in found)
