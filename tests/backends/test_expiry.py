"""Expiry: renewed with every write, and whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions import SessionStore
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER}


def read(store: SessionStore, session: Session) -> Session | None:
    return store.get_session(**NAMES, session_id=session.id)


def rescued(make_store: Callable[..., SessionStore], other: SessionStore) -> tuple[Session, float]:
    """Has a store with a ttl create a session and write to it, and then another store before that time has passed.

    On a busy machine it may have passed; then the same again with a longer one.

    Returns:
        The session with two events, and the ttl in seconds.
    """
    for ttl in (0.4, 4.0, 40.0):
        brief, begun = make_store(ttl=ttl), time.monotonic()
        session = brief.create_session(**NAMES)
        brief.append_many([(session, an_event("1"))])
        (outcome,) = other.append_many([(session, an_event("2"))])
        if time.monotonic() - begun < ttl / 2:
            assert isinstance(outcome, Event), outcome
            return session, ttl
        other.delete_session(**NAMES, session_id=session.id)
    raise AssertionError(f"three calls took more than {ttl} seconds")


def test_a_session_expires_and_shared_state_stays(make_store: Callable[..., SessionStore]) -> None:
    store, brief = make_store(ttl="1h"), make_store(ttl=timedelta(seconds=0.4))
    session = store.create_session(**NAMES, session_id="one", state={"key": 1, "user:key": 2, "app:key": 3})
    assert read(store, session) is not None
    brief.append_event(session, an_event())
    never_written_to = brief.create_session(**NAMES)
    time.sleep(0.5)
    for expired in (session, never_written_to):
        assert read(store, expired) is None
        with pytest.raises(SessionNotFoundError):
            store.append_event(expired, an_event())
    assert store.list_sessions(app_name=APP).sessions == []
    assert list(store.iter_sessions(**NAMES)) == []
    again = store.create_session(**NAMES, session_id="one")
    assert again.state == {"user:key": 2, "app:key": 3}
    assert texts(again) == []
    store.append_event(again, an_event("new"))
    assert texts(read(store, again) or again) == ["new"]


def test_writing_renews_expiry_of_the_whole_history(make_store: Callable[..., SessionStore]) -> None:
    for ttl in (1.0, 20.0):
        store, pause, begun = make_store(ttl=ttl), 0.0, time.monotonic()
        session = store.create_session(**NAMES)
        for number in range(148):
            if number >= 140:
                time.sleep(0.3 * ttl)
            before, begun = begun, time.monotonic()
            store.append_many([(session, an_event(str(number)))])
            pause = max(pause, time.monotonic() - before)
        found = read(store, session)
        if max(pause, time.monotonic() - begun) < 0.9 * ttl:  # else a busy machine has let it expire
            break
    assert found is not None and texts(found) == [str(number) for number in range(148)]


def test_without_ttl_nothing_expires(make_store: Callable[..., SessionStore]) -> None:
    store = make_store()
    session, ttl = rescued(make_store, store)
    time.sleep(ttl + 0.2)
    assert read(store, session) == session
    assert [one.id for one in store.list_sessions(**NAMES).sessions] == [session.id]


def test_the_last_writers_ttl_counts(make_store: Callable[..., SessionStore]) -> None:
    long, short = make_store(ttl="1h"), make_store(ttl=0.4)
    kept, ttl = rescued(make_store, long)
    lost = long.create_session(**NAMES)
    short.append_event(lost, an_event("1"))
    time.sleep(ttl + 0.2)
    for store in (long, short, make_store()):
        found = read(store, kept)
        assert found is not None and texts(found) == ["1", "2"]
        assert read(store, lost) is None
        assert [one.id for one in store.list_sessions(**NAMES).sessions] == [kept.id]


def test_a_readers_ttl_means_nothing(make_store: Callable[..., SessionStore]) -> None:
    session = make_store(ttl="1h").create_session(**NAMES)
    reader = make_store(ttl=0.1)
    for _ in range(3):
        assert read(reader, session) is not None
        assert len(reader.list_sessions(**NAMES).sessions) == 1
        time.sleep(0.1)
    expiring = make_store(ttl=0.4).create_session(**NAMES)
    for _ in range(3):
        read(make_store(ttl="1h"), expiring)
        time.sleep(0.2)
    assert read(make_store(), expiring) is None
