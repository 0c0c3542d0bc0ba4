"""The contract for sessions that were changed in storage since they were loaded."""

from __future__ import annotations

import pytest
from google.adk.sessions import BaseSessionService, Session

from adk_extra_sessions.errors import StaleSessionError
from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored


class StalenessContract(Contract):
    """An append to a session that was changed since it was loaded is refused, and nothing is written."""

    async def test_a_stale_session_is_refused(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        stale = await stored(session_service, session)
        event = await session_service.append_event(session, an_event(delta={"key": 1}))
        refused = an_event(delta={"key": 2, "temp:key": 2, "user:key": 2, "app:key": 2})
        with pytest.raises(StaleSessionError):
            await session_service.append_event(stale, refused)
        assert stale.events == [] and stale.state == {}
        assert refused.actions.state_delta == {"key": 2, "temp:key": 2, "user:key": 2, "app:key": 2}
        found = await stored(session_service, session)
        assert ids(found) == [event.id]
        assert found.state == {"key": 1}

    async def test_reloading_makes_up_for_it(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        await session_service.append_event(await stored(session_service, session), an_event())
        with pytest.raises(StaleSessionError):
            await session_service.append_event(session, an_event())
        reloaded = await stored(session_service, session)
        await session_service.append_event(reloaded, an_event())
        assert len((await stored(session_service, session)).events) == 2

    async def test_older_clocks_do_not_hide_staleness(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        stale = await stored(session_service, session)
        await session_service.append_event(session, an_event(at=100.0))
        with pytest.raises(StaleSessionError):
            await session_service.append_event(stale, an_event(at=5e9))

    async def test_a_session_built_by_hand_is_refused_only_if_older(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        await session_service.append_event(session, an_event(at=2e9))
        by_hand = Session(app_name=APP, user_id=USER, id=session.id, last_update_time=2e9 - 1)
        with pytest.raises(StaleSessionError):
            await session_service.append_event(by_hand, an_event(at=2e9 + 1))
        by_hand.last_update_time = 2e9
        for at in (2e9 + 1, 2e9 + 2):
            await session_service.append_event(by_hand, an_event(at=at))
        assert len((await stored(session_service, session)).events) == 3

    async def test_a_holder_of_a_deleted_session_cannot_write_to_its_successor(
        self, session_service: BaseSessionService
    ) -> None:
        old = await a_session(session_service, session_id="one")
        await session_service.append_event(old, an_event())
        await session_service.delete_session(app_name=APP, user_id=USER, session_id="one")
        new = await a_session(session_service, session_id="one")
        event = await session_service.append_event(new, an_event())
        with pytest.raises(StaleSessionError):
            await session_service.append_event(old, an_event())
        assert ids(await stored(session_service, new)) == [event.id]
