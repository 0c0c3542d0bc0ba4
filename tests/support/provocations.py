"""What makes a store show what it should not: values, records, servers and clients that cause errors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.adk.events.event_actions import EventActions
from google.adk.sessions import Session
from pymongo import MongoClient
from support.ports import refused_port

from adk_extra_sessions import (
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
    SessionStore,
)
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

SECRET = "canary"


PASSWORD = "canary-password"


NAMES = {"app_name": APP, "user_id": USER}


MAY_SUCCEED = ("metadata-3",)
"""Bytes outside the state are stored in base64."""


class Odd:
    """Has no JSON form, and cannot keep a secret."""

    def __repr__(self) -> str:
        return SECRET


class Provoked:
    """Runs what must fail, and keeps the exceptions."""

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}

    def __call__(self, name: str, operation: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        try:
            result = operation(*arguments, **named)
        except Exception as error:
            result = error
        results = result if isinstance(result, list) else [result]
        errors = [one for one in results if isinstance(one, BaseException)]
        assert errors or name in MAY_SUCCEED, f"{name} was accepted"
        self.errors.update({f"{name}-{number}": error for number, error in enumerate(errors)})


def refuse_values(provoke: Provoked, store: SessionStore) -> None:
    """Values and arguments that are refused before anything is sent."""
    session = store.create_session(**NAMES)
    deep: Any = SECRET
    for _ in range(230):
        deep = [deep]
    odd = [Odd(), [SECRET, Odd()], f"{SECRET}\ud800", SECRET.encode() + b"\xff", deep, {Odd(): 1}, 7**6000]
    for number, value in enumerate(odd):
        state = {"key": value, "user:good": SECRET}
        provoke(f"state-{number}", store.create_session, **NAMES, state=state)
        provoke(f"delta-{number}", store.append_event, session, an_event(SECRET, delta=state))
        provoke(f"metadata-{number}", store.append_event, session, an_event(SECRET, custom_metadata={"key": value}))
    provoke("text", store.append_event, session, an_event(f"{SECRET}\ud800"))
    provoke("timestamp", store.append_event, session, an_event(SECRET, at=float("nan")))
    wrong = an_event(SECRET)
    wrong.__dict__["content"] = SECRET
    provoke("content", store.append_event, session, wrong)
    no_delta = an_event(SECRET)
    no_delta.__dict__["actions"] = EventActions.model_construct(state_delta=SECRET)
    provoke("no-delta", store.append_event, session, no_delta)
    provoke("state-type", store.create_session, **NAMES, state=SECRET)
    provoke("no-event", store.append_event, session, SECRET)
    provoke("config", store.get_session, **NAMES, session_id=session.id, config=SECRET)
    provoke("name", store.get_session, **NAMES, session_id={"$ne": SECRET})
    built = session.model_copy()
    built._storage_update_marker = SECRET
    provoke("marker", store.append_event, built, an_event(SECRET))


def refuse_appends(provoke: Provoked, store: SessionStore) -> None:
    """What storage refuses."""
    session = store.create_session(**NAMES, session_id="one", state={"key": SECRET, "user:a": SECRET})
    stale = store.get_session(**NAMES, session_id="one")
    gone = store.create_session(**NAMES)
    store.delete_session(**NAMES, session_id=gone.id)
    delta = {"key": SECRET, "user:a": SECRET, "app:a": SECRET}
    store.append_event(session, an_event(SECRET, delta=delta))
    provoke("stale", store.append_event, stale, an_event(SECRET, delta=delta))
    provoke("gone", store.append_event, gone, an_event(SECRET, delta=delta))
    provoke("many", store.append_many, [(one, an_event(SECRET, delta=delta)) for one in (stale, gone, session)])
    provoke("exists", store.create_session, **NAMES, session_id="one", state=delta)


def refuse_damaged(provoke: Provoked, store: SessionStore) -> None:
    """Records that cannot be read."""
    odd = f'{{"content": "{SECRET}", "timestamp": "{SECRET}"}}'
    damages: list[Callable[[], Any]]
    if isinstance(store, RedisSessionStore):
        keys = SessionKeys.of(store.prefix, SessionKey(APP, USER, "damaged"))
        client = store.client
        damages = [
            lambda: client.lset(keys.events, 1, odd),
            lambda: client.hset(keys.session, "state:key", f"{SECRET}{{"),
            lambda: client.hset(keys.session, "format", SECRET),
            lambda: client.hset(keys.session, "revision", "foreign"),
            lambda: (client.delete(keys.session), client.set(keys.session, SECRET)),
        ]
    else:
        assert isinstance(store, MongoSessionStore)
        damages = [
            lambda change=change: store.backend.sessions.update_one({"session_id": "damaged"}, {"$set": change})
            for change in (
                {"tail.0.body": odd},
                {"state.key": {"_json": f"{SECRET}{{"}},
                {"state": SECRET},
                {"format": SECRET},
                {"revision": "foreign"},
            )
        ]
    for number, damage in enumerate(damages):
        store.delete_session(**NAMES, session_id="damaged")
        session = store.create_session(**NAMES, session_id="damaged", state={"key": SECRET})
        store.append_event(session, an_event(SECRET))
        damage()
        provoke(f"read-{number}", store.get_session, **NAMES, session_id="damaged")
        store.list_sessions(app_name=APP)
        outcome = store.append_many([(session, an_event(SECRET, delta={"user:a": SECRET}))])
        provoke.errors.update({f"append-{number}": one for one in outcome if isinstance(one, BaseException)})
        if isinstance(store, MongoSessionStore):
            store.backend.sessions.delete_one({"session_id": "damaged"})


def refuse_large(provoke: Provoked, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over a limit: ours, and then the server's (mongomock has none)."""
    if isinstance(store, RedisSessionStore):
        return
    session = store.create_session(**NAMES)
    big = SECRET * 3_000_000
    provoke("large-event", store.append_event, session, an_event(big))
    provoke("large-delta", store.append_event, session, an_event(delta={"app:a": big}))
    if not isinstance(store.client, MongoClient):
        return
    provoke("large-state", store.create_session, **NAMES, state={"a": big})
    half = big[: 9 << 20]
    store.append_event(session, an_event(delta={"a": half}))
    provoke("large-together", store.append_event, session, an_event(delta={"b": half}))
    # Found by the server: in a batch, and where our own check is out of the way.
    again = store.create_session(**NAMES)
    store.append_event(session, an_event(delta={"b": big[:6_900_000]}))
    batch = [(session, an_event(SECRET * 30_000)) for _ in range(4)]
    provoke("large-batch", store.append_many, [*batch, (again, an_event(SECRET))])
    monkeypatch.setattr(limits, "STATE_BYTES", 1 << 30)
    store.append_event(again, an_event(delta={"user:a": half}))
    provoke("large-shared", store.append_event, again, an_event(delta={"user:b": half}))


def fail_on_the_server(provoke: Provoked, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the server itself, one by one and in batches."""
    sessions = [store.create_session(**NAMES) for _ in range(2)]
    appends = [(one, an_event(SECRET, delta={"key": SECRET, "user:a": SECRET})) for one in sessions]
    if isinstance(store, RedisSessionStore):
        broken = scripts.Script("return redis.call('HSET', KEYS[1], ARGV[4])", "0" * 40)
        for name in ("APPEND", "CREATE"):
            monkeypatch.setattr(scripts, name, broken)
    elif isinstance(store.client, MongoClient):
        rule = {"$jsonSchema": {"properties": {"revision": {"bsonType": "string"}}}}
        for collection in (store.backend.sessions, store.backend.states):
            store.backend.database.command("collMod", collection.name, validator=rule)
        store.backend.database.command("collMod", store.backend.sessions.name, validator={"never": 1})
    else:
        return
    provoke("append", store.append_event, *appends[0])
    provoke("append-many", store.append_many, appends)
    provoke("create", store.create_session, **NAMES, state={"key": SECRET})


def fail_to_connect(provoke: Provoked, store: Any) -> None:
    """Nobody there, somebody who never answers, and a wrong password."""
    with socket.create_server(("127.0.0.1", 0)) as silent, refused_port() as refused:
        places = {"refused": f"127.0.0.1:{refused}", "silent": f"127.0.0.1:{silent.getsockname()[1]}"}
        is_redis = isinstance(store, RedisSessionStore)
        url = store._arguments["redis_url" if is_redis else "mongo_url"] or ""
        if "@" in url:
            places["password"] = urlsplit(url).netloc.rpartition("@")[2]
        for name, place in places.items():
            other: SessionStore
            if is_redis:
                options: Any = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2, "retry": None}
                other = RedisSessionStore(f"redis://keeper:{PASSWORD}1@{place}", **options)
            else:
                options = {"serverSelectionTimeoutMS": 300, "socketTimeoutMS": 300, "connectTimeoutMS": 300}
                other = MongoSessionStore(f"mongodb://keeper:{PASSWORD}1@{place}", db_name="x", **options)
            with other:
                session = Session(app_name=APP, user_id=USER, id="one")
                delta = {"key": SECRET, "user:a": SECRET}
                provoke(f"{name}-create", other.create_session, **NAMES, state=delta)
                appends = [(session, an_event(SECRET, delta=delta)) for _ in range(2)]
                provoke(f"{name}-many", other.append_many, appends)


def run_a_service(provoke: Provoked, store: SessionStore) -> list[str]:
    """The same by a service, with asyncio's own debugging; returns what it shows of itself."""
    cls = RedisSessionService if isinstance(store, RedisSessionStore) else MongoSessionService
    service: Any = cls(store=store)  # type: ignore[arg-type]

    async def main() -> list[str]:
        session = await service.create_session(**NAMES, state={"key": SECRET})
        stale = await service.get_session(**NAMES, session_id=session.id)
        tasks = [asyncio.create_task(service.append_event(session, an_event(SECRET))) for _ in range(5)]
        tasks += [asyncio.create_task(service.append_event(session, an_event(delta={"key": Odd()})))]
        await asyncio.sleep(0)
        told = [repr(one) for one in (service, *tasks, service._commits, *service._commits._queue)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        results += await asyncio.gather(service.append_event(stale, an_event(SECRET)), return_exceptions=True)
        provoke("service", lambda: results)
        await service.close()
        return told

    return asyncio.run(main(), debug=True)
