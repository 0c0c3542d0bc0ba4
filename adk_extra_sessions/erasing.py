"""Erasing all that belongs to a user or an app, with a receipt."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from attrs import asdict, frozen

from adk_extra_sessions.abilities import erasable
from adk_extra_sessions.backends.base import Backend


@frozen
class ErasureReceipt:
    """What was erased, and when.

    Attributes:
        app_name: The app's name.
        user_id: The user's id; None for the whole app.
        started: When it began, in UTC.
        seconds: How long it took.
        sessions: How many sessions, also expired and damaged ones.
        events: How many events they had.
        states: How many states of users and of the app.
        turns: How many turns on sessions.
        records: How many keys or documents all this was stored in, with those of indexes.
    """

    app_name: str
    user_id: str | None
    started: datetime
    seconds: float
    sessions: int
    events: int
    states: int
    turns: int
    records: int


def erase(backend: Backend, app_name: str, user_id: str | None) -> ErasureReceipt:
    """Erases everything of a user, or with None of an app.

    Raises:
        ConfigurationError: The backend cannot erase.
    """
    started, start = datetime.now(timezone.utc), time.monotonic()
    erased = erasable(backend).erase(app_name, user_id)
    return ErasureReceipt(app_name, user_id, started, time.monotonic() - start, **asdict(erased))
