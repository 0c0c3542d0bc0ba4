"""The fixtures that users of the package have in their own tests."""

from __future__ import annotations

from typing import Any

import pytest

pytest_plugins = ["pytester"]

AGENT_TEST = """
    import pytest
    from adk_extra_sessions import {service}

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    @pytest.mark.parametrize("turn", [1, 2])
    async def test_remembers({fixture}_session_service, {fixture}_session_store, turn):
        assert isinstance({fixture}_session_service, {service})
        session = await {fixture}_session_service.create_session(app_name="app", user_id="user", session_id="one")
        assert {fixture}_session_store.get_session(app_name="app", user_id="user", session_id="one") == session
"""


@pytest.mark.parametrize("fixture", ["redis", "mongo"])
def test_the_fixtures_need_no_server_and_start_empty(pytester: Any, fixture: str) -> None:
    service = {"redis": "RedisSessionService", "mongo": "MongoSessionService"}[fixture]
    pytester.makepyfile(AGENT_TEST.format(fixture=fixture, service=service))
    plugin = [] if _installed() else ["-p", "adk_extra_sessions.testing.pytest_plugin"]
    pytester.runpytest_subprocess("-q", *plugin).assert_outcomes(passed=2)


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(one.value == "adk_extra_sessions.testing.pytest_plugin" for one in entry_points(group="pytest11"))
