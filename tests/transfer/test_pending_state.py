"""Copies of shared state whose writer died before it was applied: the session still holds it, and readers see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisConnectionError
from support.message_proxy import Fault, MessageProxy

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import StorePlace, copy_items, verify_items

Die = Callable[..., None]


@pytest.fixture(params=["rediscluster", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """Where shared state is apart from the session, on real servers."""
    return str(request.param)


@pytest.fixture
def proxy(backend: str, server: Any, storage: dict[str, Any]) -> Iterator[MessageProxy]:
    nodes = server.nodes if backend == "rediscluster" else [server]
    marker = storage.get("prefix") or storage["db_name"]
    with MessageProxy(tuple(node.port for node in nodes), marker.encode(), backend == "rediscluster") as proxy:
        yield proxy


@pytest.fixture
def dying(
    backend: str, storage: dict[str, Any], proxy: MessageProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SessionStore]:
    """A store behind the proxy."""
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.005)  # looks at once for a server it has lost
    address = f"127.0.0.1:{next(iter(proxy.ports.values()))}"
    if backend == "rediscluster":
        client = redis.RedisCluster.from_url(
            f"redis://{address}", address_remap=lambda node: (node[0], proxy.ports.get(node[1], node[1]))
        )
        yield RedisSessionStore(client=client, prefix=storage["prefix"])
        client.close()
        return
    url = f"mongodb://{address}/?directConnection=true&serverMonitoringMode=poll&socketTimeoutMS=60000"
    with MongoSessionStore(url, db_name=storage["db_name"]) as made:
        yield made


@pytest.fixture
def die_with(dying: SessionStore, store: SessionStore, proxy: MessageProxy) -> Die:
    """Appends an event with shared state; the writer dies as soon as the event is stored."""
    warm = dying.create_session(app_name="warm", user_id="u")  # makes indexes
    dying.append_event(warm, an_event(delta={"app:a": 1, "user:a": 1}))  # and loads scripts

    def die_with(delta: dict[str, Any], **names: str) -> None:
        live = store.get_session(app_name=APP, **names)
        assert live is not None
        for at in range(1, 10):  # the first messages do not store it yet
            proxy.expect(Fault("dead", answered=False, lasting=True), at)
            with suppress(AutoReconnect, RedisConnectionError):
                dying.append_event(live, an_event("last", at=9000.0, delta=delta))
            proxy.heal()
            found = store.get_session(app_name=APP, **names)
            if found is not None and found.events:
                return
        pytest.fail("the event was never stored")

    return die_with


def applied(store: SessionStore) -> dict[str, Any]:
    """What a reader sees through a session that holds nothing: only what has been applied."""
    found = store.get_session(app_name=APP, user_id="ada", session_id="bystander")
    assert found is not None
    return found.state


def test_what_readers_of_a_session_see_is_copied(store: SessionStore, other_store: SessionStore, die_with: Die) -> None:
    before = {"app:x": 1, "user:x": 1, "app:other": 1}
    for name in ("one", "two", "bystander"):
        store.create_session(app_name=APP, user_id="ada", session_id=name, state=before)
    store.create_session(app_name=APP, user_id="bob", session_id="new")
    die_with({"app:x": 2, "app:y": 2, "user:x": 2}, user_id="ada", session_id="one")
    die_with({"app:x": 3, "user:y": 3}, user_id="ada", session_id="two")  # later
    die_with({"app:z": 4, "user:first": 4}, user_id="bob", session_id="new")
    assert "app:y" not in applied(store), "the state has been applied: the test needs some that has not"

    source, destination = StorePlace(store), StorePlace(other_store)
    assert not any(result.problems for result in copy_items(source.items(), destination))
    app = {"app:x": 3, "app:y": 2, "app:z": 4, "app:other": 1}
    for user, own in (("ada", {"user:x": 2, "user:y": 3}), ("bob", {"user:first": 4})):
        for session in other_store.list_sessions(app_name=APP, user_id=user).sessions:
            assert session.state == {**app, **own}
    seen = {session.id: session.state for session in store.iter_sessions(app_name=APP, user_id="bob")}["new"]
    assert seen["app:z"] == 4

    assert not any(result.problems for result in verify_items(source.items(), destination))
    # The state of a destination is compared as its readers see it, too.
    assert not any(result.problems for result in verify_items(destination.items(), source))
    # Reading has applied nothing.
    assert "app:y" not in applied(store)


def test_one_users_pending_state_is_copied(store: SessionStore, other_store: SessionStore, die_with: Die) -> None:
    for user in ("ada", "bob"):
        store.create_session(app_name=APP, user_id=user, session_id="one")
        die_with({"user:name": user, "app:last": user}, user_id=user, session_id="one")
    list(copy_items(StorePlace(store).items([APP], ["bob"]), StorePlace(other_store)))
    (session,) = other_store.list_sessions(app_name=APP).sessions
    assert session.state == {"user:name": "bob"}
