"""`adk run`: each call is a process of its own, and the session goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.adk.sessions import Session
from support.adk_server import texts
from support.servers import RedisServer

QUESTION = "What did I say before?"


def adk_run(agents: Path, uri: str, *arguments: str, typed: str = "") -> str:
    """Returns what `adk run` prints; `arguments` may end with a query, `typed` is what a person types."""
    command = [sys.executable, "-m", "google.adk.cli", "run", "--session_service_uri", uri]
    ran = subprocess.run(
        [*command, str(agents / "uppercase"), *arguments], input=typed, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_a_session_goes_on_in_the_next_process(agents: Path, uri: str) -> None:
    assert "[uppercase_agent]: HELLO" in adk_run(agents, uri, "--session_id", "s1", "hello")
    assert "[uppercase_agent]: You said: hello." in adk_run(agents, uri, "--session_id", "s1", QUESTION)


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_a_saved_session_is_resumed(agents: Path, uri: str) -> None:
    said = adk_run(agents, uri, "--save_session", "--session_id", "kept", typed="hello\nworld\nexit\n")
    assert "[uppercase_agent]: WORLD" in said
    saved = agents / "uppercase" / "kept.session.json"
    session = Session.model_validate_json(saved.read_text("utf-8"))
    events = [event.model_dump(exclude_none=True) for event in session.events]
    assert texts(events) == ["hello", "HELLO", "world", "WORLD"]
    resumed = adk_run(agents, uri, "--resume", str(saved), typed=f"{QUESTION}\nexit\n")
    assert "[uppercase_agent]: You said: hello, world." in resumed


@pytest.mark.servers
def test_a_unix_socket_is_a_url_too(agents: Path, tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    with RedisServer("--unixsocket", str(socket)):
        uri = f"unix://{socket}?prefix=unix"
        assert "[uppercase_agent]: HELLO" in adk_run(agents, uri, "--session_id", "s1", "hello")
        assert "[uppercase_agent]: You said: hello." in adk_run(agents, uri, "--session_id", "s1", QUESTION)
