"""The contract for reading sessions."""

from __future__ import annotations

import pytest
from google.adk.events import Event
from google.adk.sessions import BaseSessionService
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, stored, texts

FORWARD = [1000.0 + number for number in range(230)]
BACKWARD = [5000.0, 1000.0, 1010.0, 900.0, 1020.0, 1020.0, 20.0, *(1030.0 + number for number in range(150)), 1005.0]

WINDOWS = [
    (None, None),
    (0, None),
    (1, None),
    (20, None),
    (75, None),
    (150, None),
    (10_000, None),
    (None, 0.0),
    (None, 1005.0),
    (None, 1150.5),
    (None, 1229.0),
    (None, 9999.0),
    (5, 1003.0),
    (150, 1100.0),
    (200, 1020.0),
    (0, 1000.0),
]


class ReadingContract(Contract):
    """A session is read as it was stored; changing the result changes no other one."""

    async def test_a_missing_session_is_none(self, session_service: BaseSessionService) -> None:
        await a_session(session_service, session_id="one")
        for app, user, session_id in (
            ("other", USER, "one"),
            (APP, "other", "one"),
            (APP, USER, "two"),
            (APP, USER, ""),
        ):
            assert await session_service.get_session(app_name=app, user_id=user, session_id=session_id) is None

    @pytest.mark.parametrize("times", [FORWARD, BACKWARD], ids=["forward", "backward"])
    async def test_filters_are_exact(self, session_service: BaseSessionService, times: list[float]) -> None:
        session = await a_session(session_service)
        for number, at in enumerate(times):
            await session_service.append_event(session, an_event(str(number), at=at))
        for recent, after in WINDOWS:
            config = GetSessionConfig(num_recent_events=recent, after_timestamp=after)
            found = await stored(session_service, session, config=config)
            assert found.events == _expected(session.events, recent, after), (recent, after)
            assert found.last_update_time == times[-1]

    async def test_a_filtered_session_can_be_appended_to(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        for number in range(5):
            await session_service.append_event(session, an_event(str(number)))
        part = await stored(session_service, session, config=GetSessionConfig(num_recent_events=2))
        await session_service.append_event(part, an_event("5"))
        assert texts(part) == ["3", "4", "5"]
        assert texts(await stored(session_service, session)) == [str(number) for number in range(6)]

    async def test_a_read_session_is_a_copy(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service, state={"list": [1], "user:list": [1], "app:list": [1]})
        await session_service.append_event(session, an_event("hello", delta={"more": {"list": [1]}}))
        found = await stored(session_service, session)
        for key in ("list", "user:list", "app:list"):
            found.state[key].append(2)
        found.state["more"]["list"].append(2)
        found.events[0].actions.state_delta["more"]["list"].append(3)
        found.events.clear()
        again = await stored(session_service, session)
        assert again.state == {"list": [1], "user:list": [1], "app:list": [1], "more": {"list": [1]}}
        assert again.events[0].actions.state_delta == {"more": {"list": [1]}}


def _expected(events: list[Event], recent: int | None, after: float | None) -> list[Event]:
    if recent is not None:
        events = events[len(events) - min(recent, len(events)) :]
    return [event for event in events if after is None or event.timestamp >= after]
