"""A slot of a Redis Cluster that is half moved: some of a user's keys are on one node, the others on another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from redis.exceptions import RedisError

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.backends.redis.layout import UserKeys
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER}
ONE = {**NAMES, "session_id": "one"}


@pytest.fixture(params=["rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """A real cluster only."""
    return str(request.param)


@contextmanager
def half_moved(cluster: redis.RedisCluster, slot: int, first: list[str]) -> Iterator[None]:
    """Moves some keys of a slot to another node; the others and the slot itself follow when the block ends."""
    source = cluster.nodes_manager.get_node_from_slot(slot)  # type: ignore[no-untyped-call]
    target = next(node for node in cluster.get_primaries() if node.name != source.name)  # type: ignore[no-untyped-call]
    ids = {node.name: node.redis_connection.cluster("myid").decode() for node in (source, target)}
    target.redis_connection.cluster("setslot", slot, "IMPORTING", ids[source.name])
    source.redis_connection.cluster("setslot", slot, "MIGRATING", ids[target.name])

    def move(keys: list[Any]) -> None:
        source.redis_connection.migrate(target.host, target.port, keys, 0, 60_000)

    try:
        move(first)
        yield
    finally:
        while keys := source.redis_connection.cluster("getkeysinslot", slot, 100):
            move(keys)
        # All others too, instead of at some time: what they had heard before would take the slot from its new owner.
        for node in sorted(cluster.get_primaries(), key=lambda node: node.name != target.name):  # type: ignore[no-untyped-call]
            node.redis_connection.cluster("setslot", slot, "NODE", ids[target.name])


def test_deleting_a_session_hides_no_session_that_is_still_on_the_other_node(store: RedisSessionStore) -> None:
    for name in ("one", "two", "three"):
        session = store.create_session(**NAMES, session_id=name)
        store.append_event(session, an_event(name))
    keys = UserKeys.of(store.prefix, APP, USER)
    first = [keys.index, keys.session("one"), keys.events("one")]
    with half_moved(store.client, store.client.keyslot(keys.index), first):
        store.delete_session(**ONE)
    assert {one.id for one in store.list_sessions(**NAMES).sessions} == {"two", "three"}


def test_what_a_half_moved_slot_refuses_is_not_stored(store: RedisSessionStore) -> None:
    session = store.create_session(**ONE)
    store.append_event(session, an_event("before"))
    keys = UserKeys.of(store.prefix, APP, USER)
    with half_moved(store.client, store.client.keyslot(keys.index), [keys.events("one")]):
        before = session.model_copy(deep=True)
        for operation in (
            lambda: store.append_event(session, an_event("refused")),
            lambda: store.create_session(**NAMES, session_id="two"),
            lambda: store.delete_session(**ONE),
        ):
            with pytest.raises(RedisError):
                operation()
        assert session == before
    store.append_event(session, an_event("after"))
    assert texts(session) == ["before", "after"]
    assert session == store.get_session(**ONE)
    assert [one.id for one in store.list_sessions(**NAMES).sessions] == ["one"]


def test_a_session_that_is_still_on_the_other_node_is_neither_left_out_nor_removed_from_lists(
    store: RedisSessionStore,
) -> None:
    for name in ("one", "two", "three"):
        store.create_session(**NAMES, session_id=name, state={"user:a": 1}, labels={"a": "b"})
    keys = UserKeys.of(store.prefix, APP, USER)
    with half_moved(store.client, store.client.keyslot(keys.index), [keys.index, keys.state, keys.session("one")]):
        for operation in (
            lambda: store.list_sessions(**NAMES),
            lambda: store.list_sessions(app_name=APP, page_size=2),
            lambda: store.list_sessions(**NAMES, labels={"a": "b"}),
            lambda: store.count_sessions(**NAMES),
            lambda: store.count_sessions(app_name=APP, labels={"a": "b"}),
        ):
            with pytest.raises(RedisError):
                operation()
    assert {one.id for one in store.list_sessions(**NAMES).sessions} == {"one", "two", "three"}
    assert store.count_sessions(**NAMES) == 3


def test_an_erasure_is_refused_rather_than_leaving_what_is_on_the_other_node(store: RedisSessionStore) -> None:
    for name in ("one", "two"):
        store.append_event(store.create_session(**NAMES, session_id=name, state={"user:a": 1}), an_event())
    keys = UserKeys.of(store.prefix, APP, USER)
    for first in ([keys.index, keys.state, keys.session("one"), keys.events("one")], [keys.events("two")]):
        with half_moved(store.client, store.client.keyslot(keys.index), first), pytest.raises(RedisError):
            store.delete_user(**NAMES)
        assert {one.id for one in store.list_sessions(**NAMES).sessions} == {"one", "two"}
    receipt = store.delete_user(**NAMES)
    assert (receipt.sessions, receipt.events, receipt.states) == (2, 2, 1)
    assert list(store.client.scan_iter(match=f"{store.prefix}:*{USER}*", count=10_000)) == []
