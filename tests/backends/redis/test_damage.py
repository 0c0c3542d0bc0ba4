"""Records that are damaged, foreign or of another version: named, whatever the client decodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.redis_clients import clients

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture(params=["fakeredis", "redis"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    return str(request.param)


def key_name(store: RedisSessionStore, kind: str = "s") -> str:
    return f"{store.prefix}:{{{APP}/{USER}}}:{kind}:one"


NO_UTF_8: dict[str, Callable[[RedisSessionStore], Any]] = {
    "event": lambda store: store.client.lset(key_name(store, "e"), 1, b"\xff"),
    "state": lambda store: store.client.hset(key_name(store), b"state:a", b"\xff"),
    "name": lambda store: store.client.hset(key_name(store), b"state:\xff", b"1"),
    "user-state": lambda store: store.client.hset(f"{store.prefix}:{{{APP}/{USER}}}:u", b"state:\xff", b"\xff"),
    "app-state": lambda store: store.client.hset(f"{store.prefix}:{{{APP}}}:a", b"state:\xff", b"\xff"),
}


@pytest.mark.parametrize("place", NO_UTF_8)
def test_what_is_no_utf_8_is_damage_to_any_client(store: RedisSessionStore, place: str) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event())
    store.create_session(app_name=APP, user_id="other")
    NO_UTF_8[place](store)
    for client in clients(store):
        with RedisSessionStore(client=client, prefix=store.prefix) as other:
            with pytest.raises(CorruptRecordError):
                other.get_session(**NAMES)
            if place == "user-state":
                with pytest.raises(CorruptRecordError):
                    other.get_user_state(app_name=APP, user_id=USER)
            assert {key.user_id for key in other.archive.session_keys(APP, None)} == {"other", USER}
            assert list(other.archive.user_states(APP)) == []
            if place == "app-state":
                with pytest.raises(CorruptRecordError):
                    other.list_sessions(app_name=APP)
            else:
                listed = {one.user_id for one in other.list_sessions(app_name=APP).sessions}
                assert listed == ({"other", USER} if place == "event" else {"other"})


DAMAGE: dict[str, Callable[[RedisSessionStore], Any]] = {
    "event-not-json": lambda store: store.client.lset(key_name(store, "e"), 3, "{"),
    "event-not-an-event": lambda store: store.client.lset(key_name(store, "e"), 3, '{"content": 7}'),
    "two-events-in-one": lambda store: store.client.lset(key_name(store, "e"), 3, "{},{}"),
    "event-lost": lambda store: store.client.rpop(key_name(store, "e")),
    "events-evicted": lambda store: store.client.delete(key_name(store, "e")),
    "no-revision": lambda store: store.client.hdel(key_name(store, "s"), "revision"),
    "foreign-hash": lambda store: (
        store.client.delete(key_name(store, "s")),
        store.client.hset(key_name(store), "x", "y"),
    ),
    "foreign-type": lambda store: (
        store.client.delete(key_name(store, "e")),
        store.client.set(key_name(store, "e"), "x"),
    ),
    "newer-format": lambda store: store.client.hset(key_name(store, "s"), "format", "99"),
    "format-1": lambda store: (
        store.client.delete(key_name(store, "s"), key_name(store, "e")),
        store.client.rpush(key_name(store, "e"), '{"timestamp":1.0}'),
        store.client.hset(key_name(store), mapping={"v": 1, "n": "x", "b": 5, "r": 6, "c": "1.0", "t": "1.0"}),
    ),
    "bad-state": lambda store: store.client.hset(key_name(store, "s"), "state:a", "{"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_record_is_named_and_never_half_read(
    store: RedisSessionStore, damage: Callable[[RedisSessionStore], Any]
) -> None:
    session = store.create_session(**NAMES, state={"a": 1})
    for number in range(3):
        store.append_event(session, an_event(str(number)))
    damage(store)
    with pytest.raises(CorruptRecordError, match="'one'"):
        store.get_session(**NAMES)


def test_what_format_1_stored_is_refused_by_name(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event())
    DAMAGE["format-1"](store)
    with pytest.raises(CorruptRecordError, match=r"'one'.*another version.*format 2"):
        store.get_session(**NAMES)
    with pytest.raises(CorruptRecordError, match=r"'one'.*another program or version"):
        store.append_event(session, an_event())
    assert store.list_sessions(app_name=APP).sessions == []


def test_an_unreadable_event_is_named_by_position(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    for number in range(3):
        store.append_event(session, an_event(str(number)))
    store.client.lset(key_name(store, "e"), 3, '{"content": "private words"}')
    with pytest.raises(CorruptRecordError, match="position 1") as error:
        store.get_session(**NAMES)
    assert "private" not in str(error.value)


def test_a_foreign_key_fails_before_anything_is_written(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.client.set(f"{store.prefix}:{{{APP}/{USER}}}:u", "foreign")
    with pytest.raises(CorruptRecordError, match="another type"):
        store.append_event(session, an_event(delta={"a": 1, "user:a": 1}))
    assert session.events == [] and session.state == {}
    store.client.delete(f"{store.prefix}:{{{APP}/{USER}}}:u")
    found = store.get_session(**NAMES)
    assert found == session


def test_a_foreign_user_state_is_named_before_a_session_is_created(store: RedisSessionStore) -> None:
    store.client.set(f"{store.prefix}:{{{APP}/{USER}}}:u", "foreign")
    with pytest.raises(CorruptRecordError, match="another type"):
        store.create_session(**NAMES, state={"user:a": 1})
    assert len(store.client.keys(f"{store.prefix}*")) == 1


def test_a_foreign_key_is_in_no_labelled_lists_way(store: RedisSessionStore) -> None:
    for name in ("one", "two"):
        store.create_session(app_name=APP, user_id=USER, session_id=name, labels={"a": "b"})
    store.client.set(key_name(store), "foreign")
    assert [one.id for one in store.list_sessions(app_name=APP, labels={"a": "b"}).sessions] == ["two"]
    assert store.count_sessions(app_name=APP, labels={"a": "b"}) == 1
