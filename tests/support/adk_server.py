"""ADK's own servers, `adk api_server` and `adk web`, on the agents folder of the examples."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import httpx
from support.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples" / "sessions"

APP, USER = "uppercase", "ada"


def copy_of_examples(folder: Path) -> Path:
    """Copies the examples, since ADK may write beside an agent, and returns the agents folder."""
    return Path(shutil.copytree(EXAMPLES, folder / "agents", ignore=shutil.ignore_patterns(".env", "__pycache__")))


class AdkServer(Server):
    """A server of ADK's command line, in a process of its own.

    Args:
        command: Which one.
        agents: The agents folder.
        uri: The session service.
        *options: More of the command's options.
    """

    name = "adk"

    def __init__(self, command: Literal["api_server", "web"], agents: Path, uri: str, *options: str) -> None:
        super().__init__("--session_service_uri", uri, *options, str(agents))
        self.command = command

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        """Returns an HTTP client on it."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=120)

    def _program(self) -> str:
        return sys.executable

    def _command(self) -> list[str]:
        return ["-m", "google.adk.cli", self.command, "--no-reload", "--port", str(self.port)]

    def _answers(self) -> bool:
        with suppress(httpx.TransportError), self.client() as client:
            return client.get("/health").is_success
        return False


class Conversation:
    """One session of the examples' agent, over HTTP.

    Args:
        client: On one of ADK's servers.
        session_id: Whose session.
    """

    def __init__(self, client: httpx.Client, session_id: str) -> None:
        self._client = client
        self._id = session_id
        self._sessions = f"/apps/{APP}/users/{USER}/sessions"

    def create(self, state: dict[str, Any]) -> None:
        self._json(self._client.post(self._sessions, json={"sessionId": self._id, "state": state}))

    def say(self, text: str) -> str:
        """Says something and returns the agent's last words."""
        message = {"role": "user", "parts": [{"text": text}]}
        request = {"appName": APP, "userId": USER, "sessionId": self._id, "newMessage": message}
        return texts(self._json(self._client.post("/run", json=request)))[-1]

    def get(self) -> Any:
        return self._json(self._client.get(f"{self._sessions}/{self._id}"))

    def listed(self) -> list[str]:
        """Returns the ids of all sessions of the user."""
        return [session["id"] for session in self._json(self._client.get(self._sessions))]

    def _json(self, response: httpx.Response) -> Any:
        assert response.is_success, response.text
        return response.json()


def texts(events: list[Any]) -> list[str]:
    """Returns what people read of events."""
    parts = [part for event in events for part in event.get("content", {}).get("parts", [])]
    return [part["text"] for part in parts if "text" in part]
