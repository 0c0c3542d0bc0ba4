"""Documents of turns: when they are removed, and whose clock counts."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb.turns import KEPT
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER

KEY = SessionKey(APP, USER, "one")


def test_a_turn_that_nobody_gives_back_is_removed_an_hour_after_its_last_change(store: MongoSessionStore) -> None:
    turns, now = store.backend.database["turns"], store.backend.expiry.now()
    for old, new in ((None, "first"), ("first", "renewed")):
        assert store.turns.swap(KEY, old, new)
        found = turns.find_one({})
        assert found is not None and abs(found["expires_at"] - now - KEPT) < timedelta(minutes=10)
        turns.update_one({}, {"$set": {"expires_at": now + timedelta(minutes=1)}})


def test_the_servers_clock_counts(store: MongoSessionStore, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + 3600)
        read = store.turns.read(KEY)[1]
    assert abs(read - right()) < 600
