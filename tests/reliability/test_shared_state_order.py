"""`app:` state where it cannot change with the event: a writer dies, or is held up, before each of its messages.

Nobody's clock is right here: the writer that dies is five minutes ahead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from google.adk.sessions import Session
from support.messages import APPENDING, WatchedStore
from support.redis_cluster import RedisClusterServers

from adk_extra_sessions import CorruptRecordError, MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import USER, an_event, texts

MOMENTS = range(1, APPENDING + 2)
"""Before each message, and after the last."""

DYING = """
import os, sys, time
url, place, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
right = time.time
time.time = lambda: right() + 300
from support.messages import WatchedStore
from adk_extra_sessions.testing.contract.samples import USER, an_event

for moment in range(1, count + 1):
    child = os.fork()
    if not child:
        watched = WatchedStore(url, place)
        session = watched.store.get_session(app_name=f"app{moment}", user_id=USER, session_id="dies")
        with watched.at_message(moment, lambda: os._exit(9)):
            watched.store.append_event(session, an_event("1", delta={"app:x": 1, "app:y": 1}))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (9 if moment < count else 0), (moment, status)
"""


@pytest.fixture(params=["rediscluster", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """Where the app's state is apart from the session, on real servers."""
    return str(request.param)


@pytest.fixture
def place(storage: dict[str, Any]) -> str:
    """Where the test's stores keep what they have."""
    return str(storage.get("prefix") or storage["db_name"])


@pytest.fixture
def watched(server: Any, place: str, store: SessionStore) -> Iterator[WatchedStore]:
    """A store whose messages can be watched, in the place of `store`."""
    watched = WatchedStore(server.url, place)
    warm = watched.store.create_session(app_name="warm", user_id=USER)
    watched.store.append_event(warm, an_event(delta={"app:x": 0}))  # Redis knows the scripts from now on
    yield watched
    watched.close()


def read(store: SessionStore, app: str, name: str) -> Session:
    found = store.get_session(app_name=app, user_id=USER, session_id=name)
    assert found is not None
    return found


def pending(store: SessionStore, app: str, name: str) -> int:
    """How many deltas a session holds."""
    key = SessionKey(app, USER, name)
    if isinstance(store, MongoSessionStore):
        return len(store.backend.sessions.find_one(layout.session_filter(key))["pending"])
    fields = store.client.hkeys(SessionKeys.of(store.prefix, key).session)  # type: ignore[attr-defined]
    return sum(field == b"has_pending" or field.startswith(b"pending:") for field in fields)


@contextmanager
def no_writes(server: Any) -> Iterator[None]:
    """Has the server refuse all writes, or keep them waiting."""
    if isinstance(server, RedisClusterServers):
        clients = [redis.Redis(port=node.port) for node in server.nodes]
        for client in clients:
            client.config_set("min-replicas-to-write", 1)
        yield
        for client in clients:
            client.config_set("min-replicas-to-write", 0)
            client.close()
    else:
        server.command({"fsync": 1, "lock": True})
        yield
        server.command("fsyncUnlock")


def append(store: SessionStore, app: str, name: str) -> None:
    store.append_event(read(store, app, name), an_event("next"))


def delete(store: SessionStore, app: str, name: str) -> None:
    store.delete_session(app_name=app, user_id=USER, session_id=name)


@pytest.mark.parametrize("then", [append, delete])
def test_a_writer_dies_and_undoes_nothing(
    store: SessionStore, server: Any, place: str, then: Callable[[SessionStore, str, str], None]
) -> None:
    for moment in MOMENTS:
        for name in ("dies", "lives"):
            session = store.create_session(app_name=f"app{moment}", user_id=USER, session_id=name)
        store.append_event(session, an_event(delta={"app:x": 0}))  # Redis knows the scripts from now on
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", DYING, server.url, place, str(len(MOMENTS))]
    subprocess.run(command, check=True, timeout=270, env={**os.environ, "PYTHONPATH": path})
    stored = []
    for moment in MOMENTS:
        app = f"app{moment}"
        stored.append(texts(read(store, app, "dies")) == ["1"])
        store.append_event(read(store, app, "lives"), an_event(delta={"app:x": 2}))
        with no_writes(server):
            seen = read(store, app, "dies").state
            listed = store.list_sessions(app_name=app).sessions
        assert seen == ({"app:x": 2, "app:y": 1} if stored[-1] else {"app:x": 2}), moment
        assert {one.id: one.state for one in listed}["dies"] == seen, moment
        then(store, app, "dies")
        assert read(store, app, "lives").state == seen, moment
        assert then is delete or pending(store, app, "dies") == 0
    assert stored == [moment > 2 for moment in MOMENTS]


@pytest.mark.parametrize("same_session", [False, True])
def test_a_writer_is_held_up_while_another_writes(
    store: SessionStore, make_store: Callable[..., SessionStore], watched: WatchedStore, same_session: bool
) -> None:
    other = make_store(on_stale="append")
    for moment in MOMENTS[:-1]:
        app = f"app{moment}"
        slow = watched.store.create_session(app_name=app, user_id=USER, session_id="slow")
        name = "slow" if same_session and moment > 2 else "quick"
        other.create_session(app_name=app, user_id=USER, session_id="quick")
        done = []

        def quick(app: str = app, name: str = name, done: list[int] = done) -> None:
            other.append_event(read(other, app, name), an_event("2", delta={"app:x": 2, "app:z": 2}))
            done.append(1)

        with watched.at_message(moment, quick):
            watched.store.append_event(slow, an_event("1", delta={"app:x": 1, "app:y": 1}))
        assert done == [1]
        states = [read(store, app, one).state for one in ("slow", "quick")]
        assert states[0] == states[1]
        # The one that was held up before it had its ticket comes second.
        assert states[0] == {"app:x": 1 if moment == 1 else 2, "app:y": 1, "app:z": 2}
        for value, one in ((3, "slow"), (4, "quick")):
            store.append_event(read(store, app, one), an_event(delta={"app:x": value}))
            assert {read(store, app, one).state["app:x"] for one in ("slow", "quick")} == {value}
        assert pending(store, app, "slow") == pending(store, app, "quick") == 0


class Interrupted(Exception):
    """As a signal's handler raises it."""


def interrupt() -> None:
    raise Interrupted


def begun(watched: WatchedStore, app: str) -> Session:
    """Creates a session, and changes the app's state once: Redis knows the scripts from then on."""
    session = watched.store.create_session(app_name=app, user_id=USER, session_id="one")
    watched.store.append_event(session, an_event(delta={"app:x": 0}))
    return session


@pytest.mark.not_on("mongod", "replicaset")
def test_an_app_state_that_a_failover_loses_amid_an_append_gets_the_change(
    store: RedisSessionStore, watched: WatchedStore
) -> None:
    session = begun(watched, "lost")
    state = SessionKeys.of(store.prefix, SessionKey("lost", USER, "one")).app
    with watched.at_message(3, lambda: store.client.delete(state)):
        watched.store.append_event(session, an_event(delta={"app:x": 1}))
    assert read(store, "lost", "one").state == {"app:x": 1}
    assert pending(store, "lost", "one") == 0


@pytest.mark.not_on("mongod", "replicaset")
def test_a_foreign_app_state_is_named_to_who_deletes_a_session_with_a_change_of_it(
    store: RedisSessionStore, watched: WatchedStore
) -> None:
    session = begun(watched, "foreign")
    with watched.at_message(3, interrupt), pytest.raises(Interrupted):
        watched.store.append_event(session, an_event(delta={"app:x": 1}))
    assert pending(store, "foreign", "one")
    state = SessionKeys.of(store.prefix, SessionKey("foreign", USER, "one")).app
    store.client.delete(state)
    store.client.set(state, "foreign")
    with pytest.raises(CorruptRecordError, match="'one'"):
        delete(store, "foreign", "one")


@pytest.mark.not_on("mongod", "replicaset")
def test_no_interruption_hides_the_user_of_a_session_that_was_created(
    store: RedisSessionStore, watched: WatchedStore
) -> None:
    created, moment, interrupted = [], 0, True
    while interrupted:
        moment += 1
        app, interrupted = f"app{moment}", False
        with watched.at_message(moment, interrupt):
            try:
                watched.store.create_session(app_name=app, user_id=USER, session_id="one", state={"app:x": 1})
            except Interrupted:
                interrupted = True
        created.append(store.get_session(app_name=app, user_id=USER, session_id="one") is not None)
        assert len(store.list_sessions(app_name=app).sessions) == created[-1], moment
    assert {*created} == {False, True}
