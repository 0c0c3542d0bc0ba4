"""The contract for events that arrive more than once."""

from __future__ import annotations

import asyncio

from google.adk.sessions import BaseSessionService

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import a_session, an_event, ids, stored, texts


class RepeatingContract(Contract):
    """The same event is stored once, however often it comes; a different one is always kept."""

    async def test_an_event_delivered_again_is_stored_once(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        event = an_event(delta={"key": 1, "temp:key": 1, "user:key": 1})
        for _ in range(3):
            assert await session_service.append_event(session, event) is event
        found = await stored(session_service, session)
        assert ids(session) == ids(found) == [event.id]
        await session_service.append_event(session, an_event())

    async def test_an_old_event_delivered_again_changes_nothing(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        old = an_event("old", at=100.0, delta={"key": "old", "user:key": "old"})
        await session_service.append_event(session, old)
        for number in range(120):
            delta = {"key": number, "user:key": number}
            await session_service.append_event(session, an_event(str(number), at=200.0 + number, delta=delta))
        await session_service.append_event(session, old)
        found = await stored(session_service, session)
        assert texts(session) == texts(found) == ["old", *(str(number) for number in range(120))]
        assert session.state == found.state == {"key": 119, "user:key": 119}
        assert session.last_update_time == found.last_update_time == 319.0

    async def test_a_copy_for_a_reloaded_session_is_stored_once(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        event = await session_service.append_event(session, an_event(delta={"key": 1}))
        await session_service.append_event(session, an_event(delta={"key": 2}))
        reloaded = await stored(session_service, session)
        await session_service.append_event(reloaded, event.model_copy(deep=True))
        found = await stored(session_service, session)
        assert ids(found) == ids(reloaded) == ids(session)
        assert found.state == reloaded.state == {"key": 2}

    async def test_one_event_appended_twice_at_once_is_stored_once(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        event = an_event(delta={"key": 1})
        await asyncio.gather(*(session_service.append_event(session, event) for _ in range(4)))
        assert ids(session) == ids(await stored(session_service, session)) == [event.id]

    async def test_a_different_event_with_the_same_id_is_kept(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        for text in ("first", "second"):
            await session_service.append_event(session, an_event(text, at=100.0, id="same"))
        assert texts(session) == texts(await stored(session_service, session)) == ["first", "second"]

    async def test_equal_texts_are_different_events(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        for _ in range(3):
            await session_service.append_event(session, an_event("again", at=100.0))
        assert texts(await stored(session_service, session)) == ["again"] * 3
