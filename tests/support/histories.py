"""A session with a history."""

from __future__ import annotations

from typing import Any

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


def filled(store: MongoSessionStore, count: int, start: int = 0) -> Any:
    """A session with `count` events."""
    session = store.create_session(**NAMES, state={"plan": "gold"})
    store.append_many((session, an_event(str(number), at=1000.0 + number)) for number in range(start, start + count))
    return session
