"""Lists the apps, users and sessions of a place, newest first, in constant memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from attrs import field, frozen
from google.adk.sessions import Session as AdkSession
from typing_extensions import Self

from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.session import Session
from adk_extra_sessions.transfer.places import PAGE, Place, StorePlace, store_of


@frozen
class App:
    """An app.

    Attributes:
        last_update_time: That of its newest session, in seconds since the epoch; None without sessions.
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
    display_name: str | None = None
    labels: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, session: AdkSession) -> Self:
        """Takes what a list shows of a session."""
        details = (session.display_name, session.labels) if isinstance(session, Session) else (None, {})
        return cls(session.app_name, session.user_id, session.id, session.last_update_time, *details)


T = TypeVar("T", User, Summary)


def _nothing() -> None:
    """Does nothing."""


def apps(place: Place, app_names: Sequence[str] = (), *, on_session: Callable[[], object] = _nothing) -> list[App]:
    """Counts users and sessions of each app; the app with the newest session first.

    Args:
        place: The place.
        app_names: Only these apps.
        on_session: Called for each session.
    """
    found = []
    for app_name in app_names or place.app_names():
        count = sessions = 0
        newest: float | None = None
        for user in users(place, app_name, on_session=on_session):
            count, sessions = count + 1, sessions + user.sessions
            newest = user.last_update_time if newest is None else max(newest, user.last_update_time)
        found.append(App(app_name, count, sessions, newest))
    return sorted(found, key=lambda app: app.last_update_time or 0.0, reverse=True)


def users(place: Place, app_name: str, *, on_session: Callable[[], object] = _nothing) -> Iterator[User]:
    """Yields an app's users who have sessions, in the place's own order; calls `on_session` for each session."""
    for user_id, group in groupby(place.sessions(app_name), lambda session: session.user_id):
        count, newest = 0, float("-inf")
        for session in group:
            on_session()
            count, newest = count + 1, max(newest, session.last_update_time)
        yield User(app_name, user_id, count, newest)


def sessions(
    place: Place,
    app_name: str,
    user_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    on_session: Callable[[], object] = _nothing,
) -> Iterator[Summary]:
    """Yields an app's or a user's sessions, in the place's own order; calls `on_session` for each.

    Raises:
        ConfigurationError: Labels are given, but the place does not store any.
    """
    found: Iterator[AdkSession] = place.sessions(app_name, user_id)
    if labels:
        store = store_of(place, "Sessions have labels")
        found = store.iter_sessions(app_name=app_name, user_id=user_id, labels=labels, page_size=PAGE)
    for session in found:
        on_session()
        yield Summary.of(session)


def newest_of_user(
    place: Place, app_name: str, user_id: str, limit: int, labels: Mapping[str, str] | None = None
) -> tuple[list[Summary], int] | None:
    """Lists a user's newest sessions without reading the others.

    Returns:
        The sessions, newest first, and how many there are in all; None if the place cannot do that.
    """
    if not isinstance(place, StorePlace) or not isinstance(place.store.backend, Managed):
        return None
    page = place.store.list_sessions(
        app_name=app_name, user_id=user_id, labels=labels, page_size=limit, order_by="update_time desc"
    )
    count = place.store.count_sessions(app_name=app_name, user_id=user_id, labels=labels)
    return [Summary.of(session) for session in page.sessions], count


def newest(found: Iterable[T], limit: int) -> list[T]:
    """Returns the newest `limit` users or sessions, newest first; with a limit of 0, all."""
    if not limit:
        return sorted(found, key=_time, reverse=True)
    return heapq.nlargest(limit, found, key=_time)


def _time(one: User | Summary) -> float:
    return one.last_update_time
