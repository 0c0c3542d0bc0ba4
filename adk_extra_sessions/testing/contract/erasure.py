"""The contract for erasing users and apps: an ability that a service may have."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError, SessionNotFoundError
from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, a_session, an_event

STATE = {"own": 1, "user:ours": 2, "app:everyones": 3}


class ErasureContract(Contract):
    """`delete_user` and `delete_app`."""

    async def test_a_user_is_erased_with_a_receipt(self, session_service: SessionService) -> None:
        for user_id in ("u", "v"):
            for session_id in ("1", "2"):
                session = await a_session(session_service, user_id=user_id, session_id=session_id, state=STATE)
                await session_service.append_event(session, an_event())
        receipt = await session_service.delete_user(app_name=APP, user_id="u")
        assert (receipt.app_name, receipt.user_id) == (APP, "u")
        assert (receipt.sessions, receipt.events, receipt.states) == (2, 2, 1)
        assert timedelta(0) <= datetime.now(timezone.utc) - receipt.started < timedelta(minutes=5)
        assert receipt.seconds >= 0 and receipt.records > 0
        assert await session_service.count_sessions(app_name=APP, user_id="u") == 0
        assert await session_service.get_user_state(app_name=APP, user_id="u") == {}
        assert await session_service.count_sessions(app_name=APP, user_id="v") == 2
        assert await session_service.get_user_state(app_name=APP, user_id="v") == {"ours": 2}
        again = await session_service.delete_user(app_name=APP, user_id="u")
        assert (again.sessions, again.events, again.states, again.turns, again.records) == (0, 0, 0, 0, 0)
        fresh = await a_session(session_service, user_id="u")
        assert fresh.state == {"app:everyones": 3}

    async def test_an_app_is_erased_with_all_its_users(self, session_service: SessionService) -> None:
        for app_name in (APP, "other"):
            for user_id in ("u", ""):
                await a_session(session_service, app_name=app_name, user_id=user_id, state=STATE)
        receipt = await session_service.delete_app(app_name=APP)
        assert (receipt.app_name, receipt.user_id, receipt.sessions, receipt.states) == (APP, None, 2, 3)
        assert await session_service.count_sessions(app_name=APP) == 0
        assert (await a_session(session_service, user_id="u")).state == {}
        assert await session_service.count_sessions(app_name="other") == 2

    async def test_a_run_under_way_cannot_bring_it_back(self, session_service: SessionService) -> None:
        session = await a_session(session_service, user_id="u", state=STATE)
        await session_service.delete_user(app_name=APP, user_id="u")
        with pytest.raises(SessionNotFoundError):
            await session_service.append_event(session, an_event(delta=STATE))
        assert await session_service.get_user_state(app_name=APP, user_id="u") == {}
        receipt = await session_service.delete_user(app_name=APP, user_id="u")
        assert receipt.records == 0

    @pytest.mark.parametrize("wrong", [{"user_id": None}, {"user_id": 7}, {"app_name": None}, {"app_name": "\ud800"}])
    async def test_wrong_names_are_refused(self, session_service: SessionService, wrong: dict[str, Any]) -> None:
        await a_session(session_service, user_id="u")
        with pytest.raises(InputValidationError):
            await session_service.delete_user(**{"app_name": APP, "user_id": "u", **wrong})
        if "app_name" in wrong:
            with pytest.raises(InputValidationError):
                await session_service.delete_app(app_name=wrong["app_name"])
        assert await session_service.count_sessions(app_name=APP) == 1
