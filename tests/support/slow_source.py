"""Session services with a hundred sessions: `slow` to read, `quick`, and `stuck`, which cannot be read to the end."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from google.adk.events import Event
from google.adk.sessions import InMemorySessionService, Session


class Slow(InMemorySessionService):
    pause = 1.0

    async def get_session(self, **names: Any) -> Session | None:
        if self.pause > 60:
            sys.stderr.write("stuck\n")
        await asyncio.sleep(self.pause)
        return await super().get_session(**names)


async def slow() -> Slow:
    """Makes a service that is still being read when a test interrupts it."""
    service = Slow()
    for number in range(100):
        live = await service.create_session(app_name="app", user_id="u", session_id=f"s{number}", state={"n": number})
        for event in range(3):
            await service.append_event(live, Event(author="user", timestamp=1000.0 + event, id=f"e{event}"))
    return service


async def quick() -> Slow:
    """Makes one with the same sessions."""
    service = await slow()
    service.pause = 0
    return service


async def stuck() -> Slow:
    """Makes one that says so when it is read, and goes no further."""
    service = await slow()
    service.pause = 3600
    return service
