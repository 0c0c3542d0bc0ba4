"""Sessions with everything that a copy could lose, in any service or store."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Iterable
from typing import Any

from google.adk.events import Event
from google.adk.sessions import BaseSessionService

from adk_extra_sessions import SessionStore
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import Place, Result, stream_session

LENGTHS = {"empty": 0, "short": 3, "long": 450, "a/b c{d}.$é": 60}
"""Sessions by id: how many events each has. 450 are more than any place reads at once."""

SESSIONS = 2 * len(LENGTHS)
"""Of the two users who have them."""

TIMES = (1000.5, 1002.25, 1001.125)
"""Times of the events, less their numbers. One of them goes back."""

IN_ORDER = (1000.5, 1000.625, 1000.75)
"""The same for services that sort events by time."""


def events(session_id: str, count: int, user: int = 0, times: tuple[float, ...] = TIMES) -> list[Event]:
    """Makes the events of a session; later ones replace some of the state."""
    return [
        an_event(
            f"{session_id} {number} \u2028 ünï",
            id=f"e{number}",
            at=times[number % 3] + number,
            delta={f"k{number % 4}": number, "user:x": [user, number], "app:z": {"n": number}, "temp:t": 1},
        )
        for number in range(count)
    ]


def state(number: int) -> dict[str, Any]:
    """The state that a session begins with."""
    return {"begun": 2**63 - number, "ratio": 0.1, "nothing": None, "list": [], "user:name": f"u{number}", "app:y": {}}


async def fill(
    service: BaseSessionService,
    users: Iterable[int] = (0, 1),
    lengths: dict[str, int] = LENGTHS,
    times: tuple[float, ...] = TIMES,
) -> None:
    """Writes sessions as a Runner would."""
    for user in users:
        for session_id, count in lengths.items():
            live = await service.create_session(
                app_name=APP, user_id=f"u:{user}", session_id=session_id, state=state(user)
            )
            for event in events(session_id, count, user, times):
                await service.append_event(live, event)
    closing = getattr(service, "close", None)
    if closing is not None and inspect.isawaitable(done := closing()):
        await done


def fill_store(store: SessionStore, users: Iterable[int] = (0, 1), lengths: dict[str, int] = LENGTHS) -> None:
    """The same, without an event loop."""
    for user in users:
        for session_id, count in lengths.items():
            live = store.create_session(app_name=APP, user_id=f"u:{user}", session_id=session_id, state=state(user))
            store.append_many((live, event) for event in events(session_id, count, user))
    store.ping()  # on MongoDB, the last message wants no answer: the server has it before it answers this


def filled(service: BaseSessionService, **more: Any) -> BaseSessionService:
    """Fills a service that needs no particular event loop, and returns it."""
    asyncio.run(fill(service, **more))
    return service


def outcomes(results: Iterable[Result]) -> dict[str, int]:
    """Counts results by outcome; a problem fails the test."""
    met = list(results)
    assert [one.problems for one in met if one.problems] == []
    return dict(Counter(one.outcome.value for one in met))


def bodies(store: SessionStore, session_id: str, user: int = 0) -> list[str]:
    """A session's events, in full."""
    found = stream_session(store, app_name=APP, user_id=f"u:{user}", session_id=session_id)
    assert found is not None
    return [event.model_dump_json() for event in found.events]


def count(place: Place) -> int:
    """How many sessions a place has."""
    return sum(1 for _ in place.keys(APP))
