"""The contract for the app's and the user's state."""

from __future__ import annotations

import asyncio

from google.adk.sessions import BaseSessionService

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, stored


class SharingContract(Contract):
    """`user:` keys are shared by all sessions of a user, `app:` keys by all sessions of an app."""

    async def test_deltas_go_to_their_scope(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        same_user = await a_session(session_service)
        other_user = await a_session(session_service, user_id="other")
        other_app = await a_session(session_service, app_name="other")
        await session_service.append_event(session, an_event(delta={"key": 1, "user:key": 2, "app:key": 3}))
        assert session.state == {"key": 1, "user:key": 2, "app:key": 3}
        assert (await stored(session_service, session)).state == {"key": 1, "user:key": 2, "app:key": 3}
        assert (await stored(session_service, same_user)).state == {"user:key": 2, "app:key": 3}
        assert (await stored(session_service, other_user)).state == {"app:key": 3}
        assert (await stored(session_service, other_app)).state == {}

    async def test_user_state_has_raw_keys(self, session_service: BaseSessionService) -> None:
        assert await session_service.get_user_state(app_name=APP, user_id=USER) == {}
        session = await a_session(session_service, state={"user:a": 1, "user:user:b": [2], "app:c": 3, "d": 4})
        await session_service.append_event(session, an_event(delta={"user:e": None, "user:a": 5}))
        state = await session_service.get_user_state(app_name=APP, user_id=USER)
        assert state == {"a": 5, "user:b": [2], "e": None}
        assert await session_service.get_user_state(app_name=APP, user_id="other") == {}
        state["a"] = 6
        assert (await session_service.get_user_state(app_name=APP, user_id=USER))["a"] == 5

    async def test_writers_of_different_keys_lose_nothing(self, session_service: BaseSessionService) -> None:
        sessions = [await a_session(session_service) for _ in range(8)]

        async def write(number: int) -> None:
            for step in range(5):
                delta = {f"user:{number}.{step}": step, f"app:{number}.{step}": step}
                await session_service.append_event(sessions[number], an_event(delta=delta))

        await asyncio.gather(*map(write, range(8)))
        keys = {f"{number}.{step}": step for number in range(8) for step in range(5)}
        assert await session_service.get_user_state(app_name=APP, user_id=USER) == keys
        expected = {f"{scope}:{key}": step for key, step in keys.items() for scope in ("user", "app")}
        assert (await stored(session_service, sessions[0])).state == expected
