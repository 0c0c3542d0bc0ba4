"""ADK's REST server hands the `options` of a request to `create_session`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import BACKENDS
from fastapi.testclient import TestClient
from google.adk.cli import api_server
from google.adk.cli.fast_api import get_fast_api_app
from google.adk.sessions import Session
from support.adk_server import APP, USER, AdkServer, Conversation

SESSIONS = f"/apps/{APP}/users/{USER}/sessions"

request = getattr(api_server, "CreateSessionRequest", None)
pytestmark = pytest.mark.skipif(
    request is None or "options" not in request.model_fields, reason="google-adk 2.13 and later has options"
)


@pytest.fixture(params=[name for name in BACKENDS if name != "rediscluster"])  # which has no URL
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(agents: Path, uri: str, new_registry: None) -> Iterator[httpx.Client]:
    app = get_fast_api_app(agents_dir=str(agents), session_service_uri=uri, web=False)
    with TestClient(app) as client:
        yield client


def created(client: httpx.Client, options: dict[str, Any], session_id: str = "s1") -> Any:
    answer = client.post(SESSIONS, json={"sessionId": session_id, "options": options})
    assert answer.is_success, answer.text
    return answer.json()


def check(client: httpx.Client) -> None:
    session = created(client, {"display_name": "Name", "labels": {"a": "b"}, "ttl": "3600s"})
    assert session["expireTime"] > session["createTime"] > 0
    Conversation(client, "s1").say("hello")
    for found in (client.get(f"{SESSIONS}/s1").json(), client.get(SESSIONS).json()[0]):
        assert (found["displayName"], found["labels"]) == ("Name", {"a": "b"})


def test_names_and_labels_are_set_and_shown(client: httpx.Client) -> None:
    check(client)


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_adks_own_server_sets_and_shows_them(agents: Path, uri: str) -> None:
    with AdkServer("api_server", agents, uri) as server, server.client() as client:
        check(client)


@pytest.mark.parametrize("options", [{}, {"ttl": None}, {"expire_time": "2100-01-01T00:00:00Z"}], ids=str)
def test_a_session_without_them_is_as_adk_has_it(client: httpx.Client, options: dict[str, Any]) -> None:
    session = created(client, options)
    assert set(session) == {"id", "appName", "userId", "state", "events", "lastUpdateTime"}
    for found in (session, client.get(f"{SESSIONS}/s1").json(), client.get(SESSIONS).json()[0]):
        assert Session.model_validate(found).id == "s1"


@pytest.mark.parametrize(
    "options", [{"labels": {"": ""}}, {"ttl": "soon"}, {"name": "Name"}, {"session_id": "s2"}], ids=str
)
def test_wrong_options_are_refused(client: httpx.Client, options: dict[str, Any]) -> None:
    answer = client.post(SESSIONS, json={"sessionId": "s1", "options": options})
    assert answer.status_code == 400, answer.text
    assert client.get(SESSIONS).json() == []
