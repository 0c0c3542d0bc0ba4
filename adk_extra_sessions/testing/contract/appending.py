"""The contract for appending events."""

from __future__ import annotations

import asyncio

import pytest
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.sessions import BaseSessionService, Session

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored, texts


class AppendingContract(Contract):
    """An append stores the event and applies its state, or changes nothing at all."""

    async def test_an_event_is_stored_with_its_state(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, state={"kept": 1, "changed": 1})
        event = an_event("hi", delta={"changed": 2, "new": None})
        assert await session_service.append_event(session, event) is event
        found = await stored(session_service, session)
        for seen in (session, found):
            assert seen.state == {"kept": 1, "changed": 2, "new": None}
            assert seen.events == [event]
        assert found == session

    async def test_a_partial_event_is_not_stored(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        event = an_event(partial=True, delta={"key": 1})
        assert await session_service.append_event(session, event) is event
        assert session.events == [] and session.state == {}
        found = await stored(session_service, session)
        assert found.events == [] and found.state == {}

    async def test_temp_state_stays_in_the_live_session(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        event = await session_service.append_event(session, an_event(delta={"temp:key": 1, "key": 2}))
        assert session.state == {"temp:key": 1, "key": 2}
        assert event.actions.state_delta == {"key": 2}
        found = await stored(session_service, session)
        assert found.state == {"key": 2}
        assert found.events[0].actions.state_delta == {"key": 2}
        listed = await session_service.list_sessions(app_name=APP, user_id=USER)
        assert listed.sessions[0].state == {"key": 2}

    async def test_the_last_update_is_the_time_of_the_event(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        for at in (2_000_000_000.123456, 1_000_000_000.654321):
            await session_service.append_event(session, an_event(at=at))
            assert session.last_update_time == at
            assert (await stored(session_service, session)).last_update_time == at

    async def test_events_keep_the_order_of_the_appends(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        times = [50.0, 40.0, 60.0, 60.0, 10.0, 55.0]
        for number, at in enumerate(times):
            await session_service.append_event(session, an_event(str(number), at=at))
        assert texts(await stored(session_service, session)) == [str(number) for number in range(len(times))]

    async def test_appends_at_once_to_a_live_session_keep_their_order(
        self, session_service: BaseSessionService
    ) -> None:
        session = await a_session(session_service)
        events = [an_event(str(number), delta={f"key{number}": number, "last": number}) for number in range(24)]
        await asyncio.gather(*(session_service.append_event(session, event) for event in events))
        found = await stored(session_service, session)
        assert ids(session) == ids(found) == [event.id for event in events]
        assert session.state == found.state == {"last": 23, **{f"key{number}": number for number in range(24)}}
        await session_service.append_event(session, an_event("after"))

    async def test_a_long_history_is_kept_whole(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        for number in range(230):
            await session_service.append_event(session, an_event(str(number), at=1000.0 + number))
        found = await stored(session_service, session)
        assert texts(found) == [str(number) for number in range(230)]
        assert found.events == session.events

    async def test_a_missing_session_is_not_made(self, session_service: BaseSessionService) -> None:
        other = await a_session(session_service, session_id="other")
        session = Session(app_name=APP, user_id=USER, id="missing", last_update_time=5e9)
        event = an_event(delta={"key": 1, "temp:key": 1, "user:key": 1, "app:key": 1})
        with pytest.raises(SessionNotFoundError):
            await session_service.append_event(session, event)
        assert session.events == [] and session.state == {}
        assert event.actions.state_delta == {"key": 1, "temp:key": 1, "user:key": 1, "app:key": 1}
        assert await session_service.get_session(app_name=APP, user_id=USER, session_id="missing") is None
        assert (await stored(session_service, other)).state == {}

    async def test_a_deleted_session_is_not_brought_back(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        await session_service.append_event(session, an_event())
        await session_service.delete_session(app_name=APP, user_id=USER, session_id=session.id)
        with pytest.raises(SessionNotFoundError):
            await session_service.append_event(session, an_event(delta={"user:key": 1}))
        assert len(session.events) == 1
        assert await session_service.get_session(app_name=APP, user_id=USER, session_id=session.id) is None
        assert (await session_service.list_sessions(app_name=APP)).sessions == []
        assert (await a_session(session_service)).state == {}

    async def test_a_failed_append_leaves_everything_as_it_was(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, state={"key": 1})
        await session_service.append_event(session, an_event())
        before = session.model_copy(deep=True)
        delta = {"key": 2, "temp:key": 2, "user:key": 2, "bad": object()}
        event = an_event(delta=delta)
        with pytest.raises((ValueError, TypeError)):
            await session_service.append_event(session, event)
        assert session == before
        assert event.actions.state_delta == delta
        assert await stored(session_service, session) == before
        event = await session_service.append_event(session, an_event(delta={"key": 3}))
        assert ids(await stored(session_service, session)) == [*ids(before), event.id]
