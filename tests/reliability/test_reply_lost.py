"""Replies lost on the way: the server did the work, the connection broke, and it is tried again.

Every reply of an operation is lost in turn, so that each of its messages is
once the last one whose outcome nobody knows.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis
from google.adk.events import Event
from google.adk.sessions import Session
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisConnectionError
from support.proxy import ReplyLosingProxy

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER}

LOST = (RedisConnectionError, AutoReconnect)

FOR_EVER = 1000
"""More replies than any client waits for."""


@pytest.fixture(params=["redis", "rediscluster", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """Real servers only: a fake has no wire."""
    return str(request.param)


@pytest.fixture
def proxy(backend: str, server: Any, storage: dict[str, Any]) -> Iterator[ReplyLosingProxy]:
    """Between the servers and `far`; loses replies to requests in the test's own storage only."""
    nodes = server.nodes if backend == "rediscluster" else [server]
    marker = storage.get("prefix") or storage["db_name"]
    with ReplyLosingProxy(*(node.port for node in nodes), marker=marker) as proxy:
        yield proxy


@pytest.fixture
def make_far(
    backend: str, storage: dict[str, Any], proxy: ReplyLosingProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SessionStore]]:
    """Makes stores behind the proxy, with options of the driver."""
    address = f"127.0.0.1:{next(iter(proxy.ports.values()))}"
    # The driver looks at once for a server it has lost, not in half a second.
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.02)
    monitoring = "&serverMonitoringMode=poll" if pymongo.version_tuple >= (4, 5) else ""
    made: list[SessionStore] = []

    def make(**options: Any) -> SessionStore:
        if backend == "rediscluster":
            nodes = redis.RedisCluster.from_url(
                f"redis://{address}", address_remap=lambda node: (node[0], proxy.ports.get(node[1], node[1]))
            )
            made.append(RedisSessionStore(client=nodes, prefix=storage["prefix"]))
        elif backend == "redis":
            made.append(RedisSessionStore(f"redis://{address}", prefix=storage["prefix"]))
        else:
            url = f"mongodb://{address}/?directConnection=true{monitoring}"
            made.append(MongoSessionStore(url, db_name=storage["db_name"], **options))  # type: ignore[arg-type]
            made[-1].ensure_indexes()  # type: ignore[attr-defined]
        warm_up(made[-1])
        return made[-1]

    yield make
    for store in made:
        store.close()
        store.client.close()  # type: ignore[attr-defined]


@pytest.fixture
def far(make_far: Callable[..., SessionStore]) -> SessionStore:
    """A store behind the proxy, without options."""
    return make_far()


def warm_up(store: SessionStore) -> None:
    """Has Redis know the scripts, so that no lost reply is one that only says it does not."""
    session = store.create_session(**NAMES)
    store.append_event(session, an_event(delta={"app:key": 0}))
    found(store, session)
    store.delete_session(**NAMES, session_id=session.id)


def found(store: SessionStore, session: Session) -> Session:
    read = store.get_session(app_name=session.app_name, user_id=session.user_id, session_id=session.id)
    assert read is not None
    return read


def filled(store: SessionStore, count: int) -> Session:
    """A session with `count` events."""
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(str(number))) for number in range(count))
    return session


def each_reply(proxy: ReplyLosingProxy, count: int = 1) -> Iterator[int]:
    """Loses the first reply of the loop's body, the second one the next time, and so on until it has no such reply."""
    for number in itertools.count(1):
        proxy.lose(number, count)
        yield number
        if not proxy.lost:
            assert number > 1
            return


# On MongoDB the event after 100 others moves some of them to a chunk.
histories = pytest.mark.parametrize("history", [0, 100], ids=["append", "chunk-move"])


@histories
def test_one_lost_reply_of_an_append_is_not_noticed(
    far: SessionStore, store: SessionStore, proxy: ReplyLosingProxy, history: int
) -> None:
    sessions = [filled(store, history) for _ in range(12)]
    for number in each_reply(proxy):
        live = sessions.pop()
        delta = {"key": number, "user:key": number, "app:key": number}
        far.append_event(live, an_event(str(history), delta=delta))
        assert found(store, live) == live
        assert texts(live) == [str(one) for one in range(history + 1)]
        assert live.state == delta


@histories
def test_a_caller_who_tries_again_is_stored_once_and_undoes_nothing_newer(
    make_far: Callable[..., SessionStore], store: SessionStore, proxy: ReplyLosingProxy, history: int
) -> None:
    far = make_far(retryWrites=False, retryReads=False)
    sessions = [filled(store, history) for _ in range(12)]
    other = sessions.pop()
    for number in each_reply(proxy, FOR_EVER):
        live = sessions.pop()
        before = live.model_copy(deep=True)
        event = an_event(str(history), delta={"key": number, "user:key": number, "app:key": number, "temp:key": number})
        try:
            far.append_event(live, event)
        except LOST:
            assert live == before
            proxy.heal()
            newer = number + 1000 if len(found(store, live).events) > history else number
            store.append_event(other, an_event(delta={"user:key": number + 1000, "app:key": number + 1000}))
            far.append_event(live, event)
            read = found(store, live)
            assert texts(live) == texts(read) == [str(one) for one in range(history + 1)]
            assert live.state == {"key": number, "user:key": number, "app:key": number, "temp:key": number}
            assert read.state == {"key": number, "user:key": newer, "app:key": newer}
            store.append_event(live, an_event())


def test_a_lost_reply_in_a_batch_doubles_nothing(
    make_far: Callable[..., SessionStore], store: SessionStore, proxy: ReplyLosingProxy
) -> None:
    service = SessionService(make_far(retryWrites=False, retryReads=False))
    sessions = [filled(store, 0) for _ in range(20)]

    async def until_stored(session: Session, event: Event) -> None:
        while True:
            try:
                await service.append_event(session, event)
                return
            except LOST:
                proxy.heal()

    async def batch(number: int) -> None:
        # On a cluster each app: key is some messages more; one tells as much as twenty.
        deltas = [{"key": number, f"user:{at}": number, **({} if at else {"app:0": number})} for at in range(20)]
        events = [an_event(str(number), delta=delta) for delta in deltas]
        await asyncio.gather(*map(until_stored, sessions, events))

    for number in each_reply(proxy, FOR_EVER):
        asyncio.run(batch(number))
        read = [found(store, session) for session in sessions]
        assert [one.events for one in read] == [one.events for one in sessions]
        assert {tuple(texts(one)) for one in read} == {tuple(map(str, range(1, number + 1)))}
        assert store.get_user_state(**NAMES) == {str(at): number for at in range(20)}
        assert {(one.state["key"], one.state["app:0"]) for one in read} == {(number, number)}
    asyncio.run(service.close())


def test_a_lost_reply_of_a_create_is_not_noticed(
    far: SessionStore, store: SessionStore, proxy: ReplyLosingProxy
) -> None:
    for number in each_reply(proxy):
        state = {"key": number, "user:key": number, "app:key": number}
        session = far.create_session(**NAMES, session_id=str(number), state=state)
        assert session.state == state
        assert found(store, session) == session
        store.append_event(session, an_event())
    assert len(store.list_sessions(app_name=APP).sessions) == number


def test_a_lost_reply_of_a_delete_leaves_nothing_behind(
    far: SessionStore, store: SessionStore, proxy: ReplyLosingProxy
) -> None:
    sessions = [filled(store, 120) for _ in range(12)]
    for number in each_reply(proxy):
        live = sessions.pop()
        store.append_event(live, an_event(delta={f"user:{number}": 1, f"app:{number}": 1}))
        far.delete_session(**NAMES, session_id=live.id)
        assert store.get_session(**NAMES, session_id=live.id) is None
        assert number in map(int, store.get_user_state(**NAMES))
    remaining = store.list_sessions(app_name=APP).sessions
    assert {one.id for one in remaining} == {one.id for one in sessions}
    for one in sessions:
        store.delete_session(**NAMES, session_id=one.id)
    assert left_of_sessions(store) == []


def test_a_lost_reply_of_a_change_or_a_pruning_is_not_noticed(
    far: SessionStore, store: SessionStore, proxy: ReplyLosingProxy
) -> None:
    sessions = [filled(store, 1) for _ in range(12)]
    for number in each_reply(proxy):
        live = sessions.pop()
        far.update_session(**NAMES, session_id=live.id, display_name=str(number), ttl="1h")
        assert [one.display_name for one in store.iter_sessions(**NAMES)].count(str(number)) == 1
    store.delete_user(**NAMES)
    for number in each_reply(proxy):
        user = {"app_name": APP, "user_id": str(number)}
        store.append_event(store.create_session(**user), an_event())
        far.prune_sessions(**user, keep_last=0)
        assert list(store.iter_sessions(**user)) == []
    assert left_of_sessions(store) == []


def left_of_sessions(store: Any) -> list[Any]:
    """What the storage still holds of any session."""
    if isinstance(store, MongoSessionStore):
        return [*store.backend.sessions.find(), *store.backend.chunks.find()]
    return list(store.client.scan_iter(match=f"{store.prefix}*:s:*", count=10_000))


AHEAD = """
import sys, time
right = time.time
time.time = lambda: right() + 300
from support.messages import WatchedStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

store = WatchedStore(*sys.argv[1:]).store
session = store.create_session(app_name=APP, user_id=USER)
store.append_event(session, an_event(delta={"app:x": 1, "user:x": 1}))
"""


@pytest.mark.parametrize("backend", ["rediscluster", "mongod", "replicaset"], indirect=True)
def test_a_clock_that_is_ahead_keeps_no_value(
    far: SessionStore, store: SessionStore, server: Any, storage: dict[str, Any], proxy: ReplyLosingProxy
) -> None:
    """Another server, five minutes ahead, wrote a value; the next one is written with one lost reply."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    place = storage.get("prefix") or storage["db_name"]
    command = [sys.executable, "-c", AHEAD, server.url, place]
    subprocess.run(command, check=True, timeout=200, env={**os.environ, "PYTHONPATH": path})
    for number in itertools.count(1):
        session, event = found(far, far.create_session(**NAMES)), an_event(delta={"app:x": 2, "user:x": number + 1})
        proxy.lose(number)
        for _ in range(2):
            with suppress(*LOST):
                far.append_event(session, event)
        proxy.heal()
        far.append_event(session, event)
        assert found(store, session).state == {"app:key": 0, "app:x": 2, "user:x": number + 1}
        if not proxy.lost:
            break
    assert number > 3
