"""What is at a place, at a glance: apps, users, sessions, newest first, in constant memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from attrs import frozen

from adk_extra_sessions.transfer.places import Place


@frozen
class App:
    """An app.

    Attributes:
        last_update_time: Of its newest session, in seconds since the epoch; None without sessions.
    """

    app_name: str
    users: int
    sessions: int
    last_update_time: float | None


@frozen
class User:
    """A user of an app."""

    app_name: str
    user_id: str
    sessions: int
    last_update_time: float


@frozen
class Summary:
    """A session."""

    app_name: str
    user_id: str
    session_id: str
    last_update_time: float


T = TypeVar("T", User, Summary)


def _nothing() -> None:
    """Takes no notice."""


def apps(place: Place, app_names: Sequence[str] = (), *, met: Callable[[], object] = _nothing) -> list[App]:
    """Counts users and sessions of each app; the app with the newest session first.

    Args:
        place: Where to look.
        app_names: Only these apps.
        met: Called for each session met.
    """
    found = []
    for app_name in app_names or place.app_names():
        count = sessions = 0
        newest: float | None = None
        for user in users(place, app_name, met=met):
            count, sessions = count + 1, sessions + user.sessions
            newest = user.last_update_time if newest is None else max(newest, user.last_update_time)
        found.append(App(app_name, count, sessions, newest))
    return sorted(found, key=lambda app: app.last_update_time or 0.0, reverse=True)


def users(place: Place, app_name: str, *, met: Callable[[], object] = _nothing) -> Iterator[User]:
    """Yields an app's users who have sessions, in the place's own order; calls `met` for each session."""
    for user_id, group in groupby(place.sessions(app_name), lambda session: session.user_id):
        count, newest = 0, float("-inf")
        for session in group:
            met()
            count, newest = count + 1, max(newest, session.last_update_time)
        yield User(app_name, user_id, count, newest)


def sessions(
    place: Place, app_name: str, user_id: str | None = None, *, met: Callable[[], object] = _nothing
) -> Iterator[Summary]:
    """Yields an app's or a user's sessions, in the place's own order; calls `met` for each."""
    for session in place.sessions(app_name, user_id):
        met()
        yield Summary(session.app_name, session.user_id, session.id, session.last_update_time)


def newest(found: Iterable[T], limit: int) -> list[T]:
    """Returns the newest `limit` of some users or sessions, newest first; all with a limit of 0."""
    if not limit:
        return sorted(found, key=_time, reverse=True)
    return heapq.nlargest(limit, found, key=_time)


def _time(one: User | Summary) -> float:
    return one.last_update_time
