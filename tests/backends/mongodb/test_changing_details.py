"""Changes of a session's lifetime, which its chunks must follow, and of sessions of other versions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from support.before import Before
from support.histories import NAMES, filled

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb.expiry import NEVER
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.testing.contract.samples import an_event


def dates(store: MongoSessionStore) -> list[datetime]:
    """When a session with chunks expires, and when its chunks do."""
    found = [one["expires_at"] for one in (*store.backend.sessions.find(), *store.backend.chunks.find())]
    assert len(found) > 1
    return found


def test_chunks_expire_with_their_session(store: MongoSessionStore) -> None:
    filled(store, 100)
    for ttl in (3600, None, 60, 3600):
        store.update_session(**NAMES, ttl=ttl)
        session, *chunks = dates(store)
        if ttl is None:
            assert {session, *chunks} == {NEVER}
        else:
            assert session <= min(chunks) and max(chunks) <= session + timedelta(seconds=2 * ttl)


def test_chunks_may_live_longer_before_their_session_may(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    filled(store, 100)
    store.update_session(**NAMES, ttl=60)
    seen: list[datetime] = []
    before = Before("findAndModify", "sessions", lambda: seen.extend(dates(store)))
    with MongoSessionStore(**storage, event_listeners=[before]) as changing:
        changing.update_session(**NAMES, ttl=None)
    session, *chunks = seen
    assert session < NEVER and {*chunks} == {NEVER}


def test_no_chunk_expires_before_its_session_while_two_change_its_lifetime(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    filled(store, 100)
    store.update_session(**NAMES, ttl=3600)
    seen: list[list[datetime]] = []

    def observe() -> None:
        seen.append(dates(store))

    def shorten() -> None:
        store.update_session(**NAMES, ttl=60)  # lowers the dates that the other one has just raised

    before = Before("findAndModify", "sessions", shorten, observe, observe, observe)
    with MongoSessionStore(**storage, event_listeners=[before]) as changing:
        changing.update_session(**NAMES, ttl=None)
    observe()
    assert all(session <= min(chunks) for session, *chunks in seen)
    assert {*seen[-1]} == {NEVER}


def test_a_lifetime_is_changed_although_others_write(
    store: MongoSessionStore, server: Any, storage: dict[str, Any]
) -> None:
    session = filled(store, 1)
    before = Before("findAndModify", "sessions", lambda: store.append_event(session, an_event()))
    with MongoSessionStore(**storage, event_listeners=[before]) as changing:
        assert changing.update_session(**NAMES, ttl=60).expire_time is not None
    assert not before.left


@pytest.mark.parametrize("change", [{"display_name": "new"}, {"ttl": 60}], ids=str)
def test_a_session_of_a_newer_version_is_not_changed(store: MongoSessionStore, change: dict[str, Any]) -> None:
    store.create_session(**NAMES)
    store.backend.sessions.update_one({}, {"$set": {"format": 99}})
    stored = store.backend.sessions.find_one({})
    with pytest.raises(CorruptRecordError, match="another version"):
        store.update_session(**NAMES, **change)
    assert store.backend.sessions.find_one({}) == stored
