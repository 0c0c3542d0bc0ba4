"""Events and sessions for the tests of the contract."""

from __future__ import annotations

from typing import Any

from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions import BaseSessionService, Session
from google.genai import types

APP = "app"
USER = "user"


def an_event(
    text: str = "hello", *, at: float | None = None, delta: dict[str, Any] | None = None, **more: Any
) -> Event:
    """Makes an event with a text, a time (seconds) and a state delta."""
    if at is not None:
        more["timestamp"] = at
    content = types.Content(role="user", parts=[types.Part(text=text)])
    actions = EventActions(state_delta=delta or {})
    return Event(author="user", invocation_id="invocation", content=content, actions=actions, **more)


async def a_session(service: BaseSessionService, **more: Any) -> Session:
    """Creates a session of the usual app and user."""
    return await service.create_session(**{"app_name": APP, "user_id": USER, **more})


async def stored(service: BaseSessionService, session: Session, **more: Any) -> Session:
    """Reads a session that must be there."""
    found = await service.get_session(app_name=session.app_name, user_id=session.user_id, session_id=session.id, **more)
    assert found is not None
    return found


def ids(session: Session) -> list[str]:
    """Returns the ids of a session's events."""
    return [event.id for event in session.events]


def texts(session: Session) -> list[str | None]:
    """Returns the texts of a session's events."""
    return [event.content.parts[0].text for event in session.events if event.content and event.content.parts]
