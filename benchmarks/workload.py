"""The conversations that are measured: events of about 735 bytes of JSON, one state key each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions import BaseSessionService, Session
from google.genai import types

from adk_extra_sessions.aio.service import SessionService
from benchmarks.measure import rate

APP = "bench"
WORDS = "the quick brown fox jumps over the lazy dog and runs on through the long grass "
_numbers = itertools.count()


def event(delta: dict[str, object] | None = None) -> Event:
    """Makes the next event of an agent's turn: user text, function call, function response, model text."""
    number = next(_numbers)
    call_id = f"adk-{number:032x}"
    kind = number % 4
    parts = [
        types.Part(text=(WORDS * 5)[:330]),
        types.Part(
            function_call=types.FunctionCall(
                id=call_id, name="find_orders", args={"customer": "c-1", "about": (WORDS * 3)[:190]}
            )
        ),
        types.Part(
            function_response=types.FunctionResponse(
                id=call_id, name="find_orders", response={"orders": [{"id": 7, "note": (WORDS * 3)[:180]}], "total": 1}
            )
        ),
        types.Part(text=(WORDS * 5)[:330]),
    ]
    return Event(
        author="user" if kind == 0 else "agent",
        invocation_id=f"e-{number // 4:036x}",
        content=types.Content(role="user" if kind in (0, 2) else "model", parts=[parts[kind]]),
        actions=EventActions(state_delta=delta or {f"key{kind}": f"value {number}"}),
    )


def events(count: int) -> Iterator[Event]:
    """Makes events."""
    return (event() for _ in range(count))


def json_bytes(count: int = 400) -> float:
    """Average length of an event's JSON as ADK stores it."""
    return sum(len(one.model_dump_json(exclude_none=True)) for one in events(count)) / count


async def a_session(service: BaseSessionService, user: str = "user", count: int = 0) -> Session:
    """Makes a session of ours or a peer's with a history."""
    session = await service.create_session(app_name=APP, user_id=user, state={"plan": "gold"})
    if isinstance(service, SessionService):
        service.store.append_many((session, one) for one in events(count))
        assert len(session.events) == count
    else:
        for one in events(count):
            await service.append_event(session, one)
    return session


async def append_rate(service: BaseSessionService, tasks: int, total: int, longest: int = 1) -> tuple[float, int]:
    """Appends to as many sessions at once; returns appends a second, and how many failed.

    Args:
        service: Ours or a peer's.
        tasks: How many sessions.
        total: How many appends in all.
        longest: Their histories have all lengths below this one. Sessions of one length meet
            what they meet now and then, such as a full tail, all at the same moment.
    """
    sessions = [await a_session(service, f"user{number}", number * 37 % longest) for number in range(tasks)]
    ready = iter(list(events(total + tasks)))  # making an event takes as long as storing one in a full batch
    return await rate(tasks, total, lambda number: lambda: service.append_event(sessions[number], next(ready)))
