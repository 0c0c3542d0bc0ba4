"""Writers that go on through a failover, on one service that is never made anew, and what they were promised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from attrs import define, field
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import SessionNotFoundError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, an_event

WRITERS = 8
PATIENCE = 120.0
"""Seconds after which a service that does not work again has failed."""


@define
class Writer:
    """One live session and the events that its service acknowledged."""

    session: Session
    acknowledged: list[Event] = field(factory=list)
    lost: int = 0
    errors: list[Exception] = field(factory=list)


async def append_until_acknowledged(service: SessionService, writer: Writer, event: Event) -> None:
    """Appends an event; the same one to the same live session again, while its outcome is unknown."""
    while True:
        try:
            await service.append_event(writer.session, event)
            writer.acknowledged.append(event)
            return
        except SessionNotFoundError:
            raise
        except StaleSessionError:
            await reload(service, writer)
        except Exception as error:
            writer.errors.append(error)
            await asyncio.sleep(0.05)


async def reload(service: SessionService, writer: Writer) -> None:
    """Loads a session that a failover took back; what it has lost must be the newest events."""
    names = {"app_name": APP, "user_id": writer.session.user_id, "session_id": writer.session.id}
    while True:
        try:
            found = await service.get_session(**names)
            break
        except Exception as error:
            writer.errors.append(error)
            await asyncio.sleep(0.05)
    assert found is not None
    left = [event.id for event in found.events]
    before = [event.id for event in writer.acknowledged]
    kept = before[: len(left)]
    assert left[: len(kept)] == kept, "lost from the middle"
    writer.lost += len(before) - len(kept)
    del writer.acknowledged[len(kept) :]
    writer.session = found


async def write_through(service: SessionService, disrupt: Callable[[], None]) -> list[Writer]:
    """Writes before, while and after `disrupt` runs; returns when every writer has gone on."""
    sessions = [
        await service.create_session(app_name=APP, user_id=f"user{number % 4}", session_id=f"s{number}")
        for number in range(WRITERS)
    ]
    writers = [Writer(session) for session in sessions]
    stop = asyncio.Event()

    async def write(writer: Writer) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = writer.session.id
            delta = {"count": number, f"user:{name}": number, f"app:{name}": number}
            await append_until_acknowledged(service, writer, an_event(str(number), delta=delta))

    async def progress(events: int) -> None:
        wanted = [len(writer.acknowledged) + events for writer in writers]
        deadline = time.monotonic() + PATIENCE
        while any(len(writer.acknowledged) < least for writer, least in zip(writers, wanted, strict=True)):
            assert not any(task.done() for task in tasks), "a writer has failed"
            assert time.monotonic() < deadline, [writer.errors[-1:] for writer in writers]
            await asyncio.sleep(0.05)

    tasks = [asyncio.ensure_future(write(writer)) for writer in writers]
    try:
        await progress(20)
        await asyncio.to_thread(disrupt)
        await progress(20)
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    return writers


async def check(service: SessionService, writers: list[Writer]) -> None:
    """Everything acknowledged is there, once, in order, and its state with it."""
    for writer in writers:
        session = writer.session
        names = {"app_name": APP, "user_id": session.user_id}
        found = await service.get_session(**names, session_id=session.id)
        assert found is not None
        acknowledged = [event.id for event in writer.acknowledged]
        assert [event.id for event in found.events] == acknowledged == [event.id for event in session.events]
        newest = writer.acknowledged[-1].actions.state_delta["count"]
        assert found.state["count"] == newest
        assert (await service.get_user_state(**names))[session.id] == newest
        assert found.state[f"app:{session.id}"] == newest
