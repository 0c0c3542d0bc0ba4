"""Expiry: renewed with every write, and whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from google.adk.sessions import Session

from adk_extra_sessions import SessionStore
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER}


def read(store: SessionStore, session: Session) -> Session | None:
    return store.get_session(**NAMES, session_id=session.id)


def test_a_session_expires_and_shared_state_stays(make_store: Callable[..., SessionStore]) -> None:
    store = make_store(ttl=timedelta(seconds=0.4))
    session = store.create_session(**NAMES, session_id="one", state={"key": 1, "user:key": 2, "app:key": 3})
    store.append_event(session, an_event())
    assert read(store, session) is not None
    time.sleep(0.5)
    assert read(store, session) is None
    assert store.list_sessions(app_name=APP).sessions == []
    assert list(store.iter_sessions(**NAMES)) == []
    with pytest.raises(SessionNotFoundError):
        store.append_event(session, an_event())
    again = store.create_session(**NAMES, session_id="one")
    assert again.state == {"user:key": 2, "app:key": 3}
    assert texts(again) == []
    store.append_event(again, an_event("new"))
    assert texts(read(store, again) or again) == ["new"]


def test_writing_renews_expiry_of_the_whole_history(make_store: Callable[..., SessionStore]) -> None:
    store = make_store(ttl=1)
    session = store.create_session(**NAMES)
    for number in range(140):
        store.append_event(session, an_event(str(number)))
    for number in range(140, 148):
        time.sleep(0.3)
        store.append_event(session, an_event(str(number)))
    found = read(store, session)
    assert found is not None and texts(found) == [str(number) for number in range(148)]


def test_without_ttl_nothing_expires(make_store: Callable[..., SessionStore]) -> None:
    brief, store = make_store(ttl=0.5), make_store()
    session = brief.create_session(**NAMES)
    brief.append_event(session, an_event())
    store.append_event(session, an_event())
    time.sleep(0.7)
    assert read(store, session) == session
    assert [one.id for one in store.list_sessions(**NAMES).sessions] == [session.id]


def test_the_last_writers_ttl_counts(make_store: Callable[..., SessionStore]) -> None:
    long, short = make_store(ttl="1h"), make_store(ttl=0.4)
    kept, lost = (long.create_session(**NAMES, session_id=name) for name in ("kept", "lost"))
    short.append_event(kept, an_event("1"))
    long.append_event(kept, an_event("2"))
    short.append_event(lost, an_event("1"))
    time.sleep(0.6)
    for store in (long, short, make_store()):
        found = read(store, kept)
        assert found is not None and texts(found) == ["1", "2"]
        assert read(store, lost) is None
        assert [one.id for one in store.list_sessions(**NAMES).sessions] == ["kept"]


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
