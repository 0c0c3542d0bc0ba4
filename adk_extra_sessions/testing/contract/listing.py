"""The contract for listing sessions."""

from __future__ import annotations

from google.adk.sessions import BaseSessionService

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event


class ListingContract(Contract):
    """A list has every session once, with its state and without its events."""

    async def test_nothing_to_list(self, session_service: BaseSessionService) -> None:
        assert (await session_service.list_sessions(app_name=APP)).sessions == []
        assert (await session_service.list_sessions(app_name=APP, user_id=USER)).sessions == []

    async def test_listed_sessions_have_state_and_no_events(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, state={"key": 1, "user:key": 2, "app:key": 3})
        await session_service.append_event(session, an_event(at=100.0, delta={"more": 4}))
        (listed,) = (await session_service.list_sessions(app_name=APP, user_id=USER)).sessions
        assert listed.state == {"key": 1, "more": 4, "user:key": 2, "app:key": 3}
        assert listed.events == []
        assert (listed.app_name, listed.user_id, listed.id) == (APP, USER, session.id)
        assert listed.last_update_time == 100.0

    async def test_a_list_ascends_by_time_then_user_then_id(self, session_service: BaseSessionService) -> None:
        plan = [
            ("b", "1", 30.0),
            ("a", "2", 20.0),
            ("a", "1", 20.0),
            ("b", "0", 20.0),
            ("", "9", 20.0),
            ("a", "é", 20.0),
            ("é", "0", 20.0),
            ("c", "0", 5.0),
        ]
        for user, session_id, at in plan:
            session = await a_session(session_service, user_id=user, session_id=session_id)
            await session_service.append_event(session, an_event(at=at))
        listed = (await session_service.list_sessions(app_name=APP)).sessions
        expected = sorted((at, user, session_id) for user, session_id, at in plan)
        assert [(one.last_update_time, one.user_id, one.id) for one in listed] == expected

    async def test_no_user_means_all_users_and_an_empty_one_is_a_user(
        self, session_service: BaseSessionService
    ) -> None:
        for user in ("", "a", "b"):
            await a_session(session_service, user_id=user, session_id=f"of-{user}", state={"user:name": user})
        await a_session(session_service, app_name="other", session_id="elsewhere")
        listed = {
            user: {
                one.id: one.state for one in (await session_service.list_sessions(app_name=APP, user_id=user)).sessions
            }
            for user in (None, "", "a")
        }
        assert listed[""] == {"of-": {"user:name": ""}}
        assert listed["a"] == {"of-a": {"user:name": "a"}}
        assert listed[None] == {f"of-{user}": {"user:name": user} for user in ("", "a", "b")}

    async def test_a_list_has_no_cap(self, session_service: BaseSessionService) -> None:
        made = {(await a_session(session_service, user_id=f"user{number % 7}")).id for number in range(260)}
        listed = (await session_service.list_sessions(app_name=APP)).sessions
        assert len(listed) == 260 and {one.id for one in listed} == made
        of_one = (await session_service.list_sessions(app_name=APP, user_id="user3")).sessions
        assert len(of_one) == 37
