"""What ADK's REST server loads with the options `history` and `cache` in its URL."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from google.adk.cli.fast_api import get_fast_api_app
from support.adk_server import Conversation

MESSAGES = 8


def served(agents: Path, uri: str) -> TestClient:
    return TestClient(get_fast_api_app(agents_dir=str(agents), session_service_uri=uri, web=False))


@pytest.mark.not_on("rediscluster", "replicaset")  # which are the same to ADK; the first has no URL
@pytest.mark.parametrize("option", ["history=compacted", "history=4", "cache=1MB"])
def test_a_conversation_goes_on(agents: Path, uri: str, new_registry: None, option: str) -> None:
    with served(agents, f"{uri}{'&' if '?' in uri else '?'}{option}") as client:
        conversation = Conversation(client, "s1")
        conversation.create({"plan": "gold"})
        answers = [conversation.say(f"message {number}") for number in range(MESSAGES)]
        found, listed = conversation.get(), conversation.listed()
    with served(agents, uri) as client:
        whole = Conversation(client, "s1").get()
    assert answers == [f"MESSAGE {number}" for number in range(MESSAGES)]
    assert listed == ["s1"]
    assert found["state"] == whole["state"] and found["state"]["plan"] == "gold"
    loaded, everything = ([event["id"] for event in one["events"]] for one in (found, whole))
    if option == "history=4":
        assert 4 <= len(loaded) < len(everything) and loaded == everything[-len(loaded) :]
    else:
        assert loaded == everything
