"""`adk api_server`, and `get_fast_api_app` in this process, over HTTP: sessions outlive the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from google.adk.cli.fast_api import get_fast_api_app
from support.adk_server import AdkServer, Conversation, texts


def talk(client: httpx.Client) -> None:
    conversation = Conversation(client, "s1")
    conversation.create({"plan": "gold", "user:language": "en"})
    assert conversation.say("hello") == "HELLO"
    assert conversation.listed() == ["s1"]


def go_on(client: httpx.Client) -> None:
    conversation = Conversation(client, "s1")
    assert conversation.listed() == ["s1"]
    found = conversation.get()
    assert texts(found["events"]) == ["hello", "HELLO"]
    assert found["state"] == {"plan": "gold", "user:language": "en"}
    assert conversation.say("What did I say before?") == "You said: hello."


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_a_conversation_goes_on_after_a_restart(agents: Path, uri: str) -> None:
    with AdkServer("api_server", agents, uri) as server:
        with server.client() as client:
            talk(client)
        server.restart()
        with server.client() as client:
            go_on(client)


@pytest.mark.parametrize("backend", ["fakeredis", "mongomock", "redis", "mongod"])
def test_a_conversation_goes_on_in_another_app(agents: Path, uri: str, new_registry: None) -> None:
    for step in (talk, go_on):
        app = get_fast_api_app(agents_dir=str(agents), session_service_uri=uri, web=False)
        with TestClient(app) as client:
            step(client)


def test_options_may_be_passed_beside_the_url(agents: Path, new_registry: None) -> None:
    options: dict[str, Any] = {"ttl": 1800, "on_stale": "append", "tll": 5}
    with pytest.raises(ValueError, match="'tll'"):
        get_fast_api_app(
            agents_dir=str(agents), session_service_uri="fakeredis://", session_db_kwargs=options, web=False
        )
