"""The contract for creating and deleting sessions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.sessions import BaseSessionService

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored


class CreatingContract(Contract):
    """A session is created once, with the id that was given, and deleted with all its events."""

    async def test_a_created_session_can_be_read(self, session_service: BaseSessionService) -> None:
        before = time.time()
        session = await a_session(session_service, session_id="one", state={"key": "value"})
        assert (session.app_name, session.user_id, session.id) == (APP, USER, "one")
        assert session.state == {"key": "value"}
        assert session.events == []
        assert before - 1 <= session.last_update_time <= time.time() + 1
        found = await stored(session_service, session)
        assert found == session

    @pytest.mark.parametrize("blank", [None, "", "  \t"], ids=["none", "empty", "spaces"])
    async def test_a_blank_id_is_replaced_by_a_new_one(
        self, session_service: BaseSessionService, blank: str | None
    ) -> None:
        first = await a_session(session_service, session_id=blank)
        second = await a_session(session_service, session_id=blank)
        assert first.id.strip() and second.id.strip()
        assert first.id != second.id

    async def test_white_space_around_ids_does_not_count(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, session_id="  one\n")
        assert session.id == "one"
        found = await session_service.get_session(app_name=APP, user_id=USER, session_id=" one ")
        assert found is not None
        with pytest.raises(AlreadyExistsError):
            await a_session(session_service, session_id="one ")
        await session_service.delete_session(app_name=APP, user_id=USER, session_id="\tone")
        assert await session_service.get_session(app_name=APP, user_id=USER, session_id="one") is None

    async def test_an_id_is_taken_only_once(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, session_id="one", state={"key": 1, "user:key": 1, "app:key": 1})
        with pytest.raises(AlreadyExistsError):
            await a_session(session_service, session_id="one", state={"key": 2, "user:key": 2, "app:key": 2})
        found = await stored(session_service, session)
        assert found.state == {"key": 1, "user:key": 1, "app:key": 1}

    async def test_one_of_many_creators_wins(self, session_service: BaseSessionService) -> None:
        creations = [a_session(session_service, session_id="one", state={"winner": number}) for number in range(16)]
        results = await asyncio.gather(*creations, return_exceptions=True)
        winners = [result for result in results if not isinstance(result, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(result, AlreadyExistsError) for result in results if result is not winners[0])
        assert (await stored(session_service, winners[0])).state == winners[0].state

    async def test_the_same_id_serves_other_users_and_apps(self, session_service: BaseSessionService) -> None:
        for app, user in (("app", "user"), ("app", "other"), ("other", "user")):
            await a_session(session_service, app_name=app, user_id=user, session_id="one", state={"of": [app, user]})
        for app, user in (("app", "user"), ("app", "other"), ("other", "user")):
            found = await session_service.get_session(app_name=app, user_id=user, session_id="one")
            assert found is not None and found.state == {"of": [app, user]}

    async def test_initial_state_goes_to_its_scope(self, session_service: BaseSessionService) -> None:
        state = {"key": 1, "user:key": 2, "app:key": 3, "temp:key": 4}
        session = await a_session(session_service, state=state)
        assert session.state == state
        assert (await stored(session_service, session)).state == {"key": 1, "user:key": 2, "app:key": 3}
        of_same_user = await a_session(session_service)
        assert of_same_user.state == {"user:key": 2, "app:key": 3}
        of_other_user = await a_session(session_service, user_id="other")
        assert of_other_user.state == {"app:key": 3}

    async def test_the_given_state_is_not_shared(self, session_service: BaseSessionService) -> None:
        state = {"list": [1], "user:list": [1]}
        session = await a_session(session_service, state=state)
        state["list"].append(2)
        session.state["list"].append(3)
        session.state["user:list"].append(3)
        assert (await stored(session_service, session)).state == {"list": [1], "user:list": [1]}

    async def test_a_deleted_session_is_gone(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        kept = await a_session(session_service)
        await session_service.append_event(session, an_event(delta={"key": 1, "user:key": 1}))
        names: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": session.id}
        await session_service.delete_session(**names)
        assert await session_service.get_session(**names) is None
        listed = await session_service.list_sessions(app_name=APP, user_id=USER)
        assert [one.id for one in listed.sessions] == [kept.id]
        assert (await stored(session_service, kept)).state == {"user:key": 1}
        await session_service.delete_session(**names)

    async def test_an_id_can_be_used_again_after_deletion(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, session_id="one", state={"old": 1})
        await session_service.append_event(session, an_event(delta={"older": 1}))
        await session_service.delete_session(app_name=APP, user_id=USER, session_id="one")
        session = await a_session(session_service, session_id="one", state={"new": 1})
        event = await session_service.append_event(session, an_event())
        found = await stored(session_service, session)
        assert found.state == {"new": 1}
        assert ids(found) == [event.id]
