"""Ctrl-C during appends of a service."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Any

import pytest
from support.ctrl_c import ctrl_c_at

from adk_extra_sessions.aio import group_commit
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


def test_ctrl_c_amid_the_outcomes_leaves_nobody_waiting(service: SessionService) -> None:
    class Interrupted(dict):  # type: ignore[type-arg]
        """A state in whose change the user presses Ctrl-C, once."""

        pressed = False

        def update(self, *more: Any, **named: Any) -> None:
            if not Interrupted.pressed:
                Interrupted.pressed = True
                signal.raise_signal(signal.SIGINT)
            super().update(*more, **named)

    sessions = [service.store.create_session(app_name=APP, user_id=USER) for _ in range(4)]
    sessions[1].state = Interrupted(sessions[1].state)

    async def append_all() -> None:
        await asyncio.gather(*(service.append_event(one, an_event(delta={"key": 1})) for one in sessions))

    loop = asyncio.new_event_loop()
    task = loop.create_task(append_all())
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
    finally:
        signal.signal(signal.SIGINT, handler)
    loop.run_until_complete(asyncio.wait_for(task, timeout=60))
    loop.close()
    for session in sessions:
        assert session.state == {"key": 1} and len(session.events) == 1
        service.store.append_event(session, an_event())


# Before the `try` of `_complete`, as in asyncio's own code, nothing can be done.
@pytest.mark.parametrize(("function", "line"), [("submit", 0), ("_complete", 1)])
def test_ctrl_c_at_any_line_stops_no_later_append(
    service: SessionService, caplog: pytest.LogCaptureFixture, function: str, line: int
) -> None:
    session = service.store.create_session(app_name=APP, user_id=USER)

    async def append(line: int) -> bool:
        """Appends with Ctrl-C at a line of `function`; returns whether there is such a line."""
        with ctrl_c_at(group_commit, line, functions=(function,)) as came:
            task = asyncio.ensure_future(service.append_event(session, an_event()))
            await asyncio.wait({task})
        with suppress(KeyboardInterrupt):
            task.result()
        return came.is_set()

    came = True
    while came:
        with suppress(KeyboardInterrupt):
            came = asyncio.run(append(line))
        asyncio.run(asyncio.wait_for(service.append_event(session, an_event()), timeout=60))
        line += 1
    assert line > 5 and "InvalidStateError" not in caplog.text
    found = service.store.get_session(app_name=APP, user_id=USER, session_id=session.id)
    assert found == session
