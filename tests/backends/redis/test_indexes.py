"""The indexes of sessions and users: in order, expiring, and free of what is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.servers import wait_until

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, UserKeys
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER}
Stores = Callable[..., RedisSessionStore]


@pytest.fixture(params=["fakeredis", "redis", "rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    return str(request.param)


def index(store: RedisSessionStore, user: str = USER) -> str:
    return UserKeys.of(store.prefix, APP, user).index


def users(store: RedisSessionStore) -> dict[str, float]:
    found = store.client.zrange(AppKeys.of(store.prefix, APP).users_by_expiry, 0, -1, withscores=True)
    return {user.decode(): score for user, score in found}


def let_time_pass(store: RedisSessionStore) -> None:
    """Has all users' times in the app's index pass, which takes ten minutes at least."""
    key = AppKeys.of(store.prefix, APP).users_by_expiry
    for user in users(store):
        store.client.zadd(key, {user: 1.0})


def test_a_users_sessions_are_in_the_order_of_their_last_update(store: RedisSessionStore) -> None:
    sessions = [store.create_session(**NAMES, session_id=f"{number}:ä%") for number in range(3)]
    for at, number in ((5e9, 1), (4e9, 2), (6e9, 0)):
        store.append_event(sessions[number], an_event(at=at))
    found = store.client.zrange(index(store), 0, -1, withscores=True)
    assert found == [(b"2%3A%C3%A4%25", 4e9), (b"1%3A%C3%A4%25", 5e9), (b"0%3A%C3%A4%25", 6e9)]
    assert {one.id for one in store.list_sessions(**NAMES).sessions} == {one.id for one in sessions}


def test_an_index_lives_as_long_as_its_longest_lived_session(make_store: Stores) -> None:
    short, long, forever = make_store(ttl="1h"), make_store(ttl="10h"), make_store()
    one = short.create_session(**NAMES)
    left = lambda: short.client.pttl(index(short))  # noqa: E731
    assert 3_000_000 < left() <= 3_600_000
    two = long.create_session(**NAMES)
    short.append_event(one, an_event())
    assert 35_000_000 < left() <= 36_000_000
    three = forever.create_session(**NAMES)
    short.append_event(one, an_event())
    assert left() == -1
    short.delete_session(**NAMES, session_id=two.id)
    short.delete_session(**NAMES, session_id=three.id)
    short.append_event(one, an_event())
    assert 3_000_000 < left() <= 3_600_000


def test_an_index_keeps_a_session_whose_life_was_made_longer(make_store: Stores) -> None:
    store = make_store(ttl=1000)
    session = store.create_session(**NAMES)
    store.update_session(**NAMES, session_id=session.id, ttl=2000)
    assert store.client.pttl(index(store)) > 1_900_000


@pytest.mark.not_on("rediscluster")  # there the user is looked at again, and stays
def test_the_apps_index_keeps_the_user_of_a_session_whose_life_was_made_longer(make_store: Stores) -> None:
    store = make_store(ttl=1000)
    session = store.create_session(**NAMES)
    store.update_session(**NAMES, session_id=session.id, ttl=2000)
    assert users(store)[USER] > (time.time() + 1900) * 1000


def test_an_expired_users_index_is_gone_by_itself(make_store: Stores) -> None:
    store = make_store(ttl=0.3)
    for _ in range(3):
        store.create_session(**NAMES)
    time.sleep(0.4)
    assert not store.client.exists(index(store))


def test_creating_drops_expired_sessions_from_the_users_index(make_store: Stores) -> None:
    store, forever = make_store(ttl=0.2), make_store()
    for _ in range(20):
        forever.create_session(**NAMES)
    for _ in range(30):
        store.create_session(**NAMES)
    time.sleep(0.3)

    def few_are_left() -> bool:  # which of them a creation looks at depends on the clock's milliseconds
        for _ in range(50):
            forever.delete_session(**NAMES, session_id=forever.create_session(**NAMES).id)
        return store.client.zcard(index(store)) < 25

    wait_until(few_are_left, "creating sessions drops none that have expired")
    assert store.client.zcard(index(store)) >= 20


def test_a_session_created_again_while_a_list_drops_it_stays(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_session(**NAMES, session_id="one")
    store.client.delete(f"{store.prefix}:{{{APP}/{USER}}}:s:one")
    execute = store.client.execute_command

    def created_before(*arguments: Any, **options: Any) -> Any:
        if scripts.DROP_EXPIRED.sha in arguments:
            monkeypatch.undo()
            store.create_session(**NAMES, session_id="one")
        return execute(*arguments, **options)

    monkeypatch.setattr(store.client, "execute_command", created_before)
    for _ in range(2):
        assert [one.id for one in store.list_sessions(**NAMES).sessions] == ["one"]


def test_users_whose_sessions_have_expired_leave_the_apps_index(make_store: Stores) -> None:
    store, forever = make_store(ttl=0.2), make_store()
    for number in range(35):
        store.create_session(app_name=APP, user_id=f"user {number}")
    forever.create_session(app_name=APP, user_id="user 0")
    time.sleep(0.3)
    let_time_pass(store)
    for _ in range(6):
        forever.create_session(**NAMES)
    left = users(store)
    assert len(left) <= 2 + 9 and {USER, "user%200"} <= {*left}
    let_time_pass(store)
    listed = forever.list_sessions(app_name=APP).sessions
    assert {one.user_id for one in listed} == {USER, "user 0"}
    assert {*users(store)} == {USER, "user%200"}


def test_a_list_leaves_users_in_the_index_who_may_be_creating_a_session(make_store: Stores) -> None:
    store = make_store(ttl="30d")
    keys = AppKeys.of(store.prefix, APP)
    store.create_session(**NAMES)
    creating = UserIndex(store.client, store.prefix, APP)
    creating.enter("new", 0)
    store.list_sessions(app_name=APP)
    store.list_sessions(app_name=APP)
    assert "new" in users(store)
    store.client.zadd(keys.users_by_expiry, {"new": 1.0})
    creating.enter("new", 0)
    creating.remove({"new": 1.0})  # by a list that had read the time before
    assert "new" in users(store)


def test_a_user_stays_in_the_apps_index_for_longer_than_a_creation_takes(make_store: Stores) -> None:
    short, forever = make_store(ttl=1), make_store()
    short.create_session(**NAMES)
    assert users(short)[USER] > (time.time() + 300) * 1000
    forever.create_session(**NAMES)
    before = users(short)
    short.create_session(**NAMES)
    assert users(short) == before


def test_a_user_who_came_back_meanwhile_stays_in_the_apps_index(store: RedisSessionStore) -> None:
    store.create_session(**NAMES)
    let_time_pass(store)
    app_index = UserIndex(store.client, store.prefix, APP)
    app_index.remove({USER: 0.5})  # as the time was when the user had no sessions
    assert users(store) == {USER: 1.0}
    app_index.remove({USER: 1.0})
    assert users(store) == {}


def test_a_user_without_sessions_is_soon_looked_at_again(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.client.unlink(index(store))
    UserIndex(store.client, store.prefix, APP).look_after_gone(USER)
    assert users(store)[USER] < (time.time() + 3600) * 1000
    assert store.get_session(**NAMES, session_id=session.id) is not None


def test_the_last_session_of_a_user_takes_the_user_along(store: RedisSessionStore, backend: str) -> None:
    one, two = (store.create_session(**NAMES) for _ in range(2))
    store.delete_session(**NAMES, session_id=one.id)
    assert USER in users(store)
    store.delete_session(**NAMES, session_id=two.id)
    if backend == "rediscluster":  # the user's sessions are in another slot: somebody may be creating one
        assert users(store)[USER] < (time.time() + 700) * 1000
        let_time_pass(store)
        assert store.list_sessions(app_name=APP).sessions == []
    assert users(store) == {}
