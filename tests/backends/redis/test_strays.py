"""What the doctor finds of keys that belong to no session, and of what looks like them and is no problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.doctor import Level, examine
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture(params=["fakeredis", "redis", "rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    return str(request.param)


def problems(store: RedisSessionStore) -> list[str]:
    return [found.text for found in examine(store) if found.level is Level.PROBLEM]


def filled(store: RedisSessionStore, **names: str) -> SessionKeys:
    """Creates a session with an event; returns its keys."""
    session = store.create_session(**{**NAMES, **names})
    store.append_event(session, an_event())
    return SessionKeys.of(store.prefix, SessionKey.of(session.app_name, session.user_id, session.id))


def test_events_without_their_session_are_named(store: RedisSessionStore) -> None:
    keys = filled(store, app_name="a/b", user_id="ü%", session_id="{c}")
    filled(store)
    store.client.delete(keys.session)
    store.client.zrem(keys.index, keys.session.rpartition(":")[2])
    (found,) = problems(store)
    assert found == "Session '{c}' of user 'ü%' in app 'a/b' does not exist, but its events do"


@pytest.mark.parametrize("index", ["users_by_expiry", "users_by_name"])
def test_a_user_who_is_not_listed_is_named_and_the_remedy_helps(store: RedisSessionStore, index: str) -> None:
    keys = filled(store, app_name="a/b", user_id="ü%")
    filled(store, user_id="another")
    store.client.delete(getattr(keys, index))  # as an eviction does
    (found,) = problems(store)
    assert found == "User 'ü%' of app 'a/b' has sessions, but is not found when the app's sessions are listed"
    store.create_session(app_name="a/b", user_id="ü%")
    assert problems(store) == []
    assert len(store.list_sessions(app_name="a/b").sessions) == 2


def test_what_has_expired_and_turns_are_no_problem(make_store: Callable[..., RedisSessionStore]) -> None:
    store = make_store(ttl="1h")
    keys = filled(store)
    filled(store, session_id="two")
    store.client.delete(keys.session, keys.events)  # as expiry does
    with store.turn(**NAMES):
        assert problems(store) == []


@pytest.mark.parametrize("ttl", ["1h", None])
def test_a_session_that_goes_while_the_doctor_looks_is_no_problem(
    make_store: Callable[..., RedisSessionStore], monkeypatch: pytest.MonkeyPatch, ttl: str | None
) -> None:
    store = make_store(ttl=ttl)
    keys = filled(store)
    filled(store, session_id="two")
    expires = [lambda: store.client.delete(keys.session), lambda: store.client.delete(keys.events)]
    is_deleted = [lambda: None, lambda: store.delete_session(**NAMES)]
    run_many, before_looks = scripts.run_many, iter(expires if ttl else is_deleted)

    def looked(client: Any, calls: Any, *more: Any) -> Any:
        if calls and calls[0].script == scripts.SESSION_KEYS:
            next(before_looks, lambda: None)()
        return run_many(client, calls, *more)

    monkeypatch.setattr(scripts, "run_many", looked)
    assert list(store.archive.strays()) == []


def test_a_key_that_goes_after_it_was_found_is_no_problem(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    scan = store.client.scan_iter

    def deleted_after(**options: Any) -> Iterator[Any]:
        names = list(scan(**options))
        store.delete_session(**NAMES)
        yield from names

    monkeypatch.setattr(store.client, "scan_iter", deleted_after)
    assert list(store.archive.strays()) == []


def test_keys_below_another_prefix_are_not_looked_at(make_store: Callable[..., RedisSessionStore]) -> None:
    other = make_store()
    keys = filled(other)
    other.client.delete(keys.events)
    other.client.set(keys.events, "foreign")
    assert "A key of Session 'one' of user 'user' in app 'app' is a string, not a list" in problems(other)
    assert problems(make_store(prefix=f"{other.prefix[:-1]}?")) == []
