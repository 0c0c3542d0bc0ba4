"""The examples for web frameworks, workers, notebooks and containers do what they say."""

from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from fastapi.testclient import TestClient

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a module of an example as the framework would, and forgets it after the test."""
    before = set(sys.modules)

    def load(folder: str, name: str) -> Any:
        monkeypatch.syspath_prepend(EXAMPLES / folder)
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def chat(imported: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The chat service."""
    monkeypatch.setenv("GOOGLE_API_KEY", "")
    monkeypatch.setenv("SESSIONS_URL", f"fakeredis://{uuid.uuid4().hex}")
    with TestClient(imported("fastapi_chat", "chat").app) as client:
        yield client


@pytest.fixture
def chat_on_mongodb(imported: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The chat service with the URL of a MongoDB."""
    monkeypatch.setenv("GOOGLE_API_KEY", "")
    monkeypatch.setenv("SESSIONS_URL", f"mongomock://{uuid.uuid4().hex}/chat")
    with TestClient(imported("fastapi_chat", "chat").app) as client:
        yield client


def said(client: TestClient, text: str) -> list[dict[str, Any]]:
    """Sends a message and returns the events of the answer."""
    with client.stream("POST", "/chat/ada/s1", json={"text": text}) as response:
        assert response.status_code == 200, response.read()
        return [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]


def words(event: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in event["content"]["parts"])


def test_the_chat_streams_and_remembers(chat: TestClient) -> None:
    events = said(chat, "Hello!")
    assert [words(event) for event in events if event.get("partial")] == ["This", " is", " message", " 1."]
    assert words(events[-1]) == "This is message 1."
    assert words(said(chat, "And now?")[-1]) == "This is message 2."
    told = chat.get("/chat/ada/s1").json()
    assert [one["author"] for one in told] == ["user", "counter", "user", "counter"]


def test_the_chat_runs_on_mongodb(chat_on_mongodb: TestClient) -> None:
    assert words(said(chat_on_mongodb, "Hello!")[-1]) == "This is message 1."
    assert len(chat_on_mongodb.get("/chat/ada/s1").json()) == 2
    assert chat_on_mongodb.get("/health").json() == {"sessions": "ok"}


def test_messages_at_once_are_answered_one_after_the_other(chat: TestClient) -> None:
    said(chat, "first")
    with ThreadPoolExecutor(6) as clients:
        answers = [words(events[-1]) for events in clients.map(lambda _: said(chat, "hello"), range(6))]
    assert sorted(answers) == [f"This is message {number}." for number in range(2, 8)]


def test_a_session_that_stays_busy_is_a_409(chat: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    service = chat.app.state.service  # type: ignore[attr-defined]
    with service.store.turn(app_name="chat", user_id="ada", session_id="s1"):
        monkeypatch.setattr(type(service), "turn", _impatient(type(service).turn))
        response = chat.post("/chat/ada/s1", json={"text": "hello"})
    assert response.status_code == 409
    assert response.headers["Retry-After"] == "5"
    assert "is busy" in response.json()["detail"]


def _impatient(turn: Any) -> Any:
    return lambda service, **named: turn(service, **{**named, "wait": 0})


def test_the_chats_health(imported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "")
    monkeypatch.setenv("SESSIONS_URL", "redis://127.0.0.1:1?socket_connect_timeout=0.2")
    with TestClient(imported("fastapi_chat", "chat").app) as client:
        assert client.get("/health").status_code == 503
    monkeypatch.setenv("SESSIONS_URL", "fakeredis://healthy")
    with TestClient(imported("fastapi_chat", "chat").app) as client:
        assert client.get("/health").json() == {"sessions": "ok"}


@pytest.fixture
def worker(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Celery worker with two processes on a real Redis."""
    pytest.importorskip("celery", reason="the extra dev brings Celery and Flask")
    monkeypatch.setenv("SESSIONS_URL", f"{redis_server.url}?prefix={uuid.uuid4().hex}")
    monkeypatch.setenv("BROKER_URL", redis_server.url)
    command = [sys.executable, "-m", "celery", "--workdir", EXAMPLES / "flask_celery", "-A", "worker"]
    with subprocess.Popen([*command, "worker", "--concurrency", "2"], stderr=subprocess.DEVNULL) as process:
        yield
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
    with redis.Redis.from_url(redis_server.url) as client:
        client.delete("celery", "_kombu.binding.celery")


def test_tasks_of_a_forking_worker_write_into_one_session(worker: None, imported: Any) -> None:
    client = imported("flask_celery", "shop").app.test_client()
    items = [f"book {number}" for number in range(10)]
    for item in items:
        assert client.post("/orders/ada/s1", data={"item": item}).status_code == 202
    deadline = time.monotonic() + 240
    while len(client.get("/orders/ada/s1").json["shipped"]) < len(items):
        assert time.monotonic() < deadline, client.get("/orders/ada/s1").json
        time.sleep(0.1)
    found = client.get("/orders/ada/s1").json
    assert sorted(found["shipped"]) == items
    assert found["events"] == len(items)
    assert client.get("/orders/ada/none").status_code == 404
    assert client.get("/health").json == {"sessions": "ok"}


def test_the_notebook_runs_in_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("REDIS_URL", "")
    notebook = nbformat.read(EXAMPLES / "notebook" / "sessions.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, startup_timeout=240, kernel_name="python3").execute()
    told = [str(output) for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("greeter How can I help?" in one for one in told)
    assert any("'Hello!', 'Hello, Ada!', 'Are you there?', 'How can I help?'" in one for one in told)


def test_the_notebook_is_stored_without_results() -> None:
    notebook = json.loads((EXAMPLES / "notebook" / "sessions.ipynb").read_text("utf-8"))
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook["cells"])


def test_the_compose_file_names_what_is_there() -> None:
    folder = EXAMPLES / "compose"
    text = (folder / "compose.yaml").read_text("utf-8")
    services = yaml.safe_load(text)["services"]
    build = services["chat"]["build"]
    root = (folder / build["context"]).resolve()
    dockerfile = (root / build["dockerfile"]).read_text("utf-8")
    copied = [word for line in dockerfile.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]]
    assert copied
    assert all((root / name).exists() for name in copied)
    assert set(services["chat"]["depends_on"]) == {"redis", "mongo"} <= set(services)
    assert all("healthcheck" in service for service in services.values())
    hosts = re.findall(r"(?:redis|mongodb)://(\w+)[:/]", text)
    assert set(hosts) == {"redis", "mongo"}
    used = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert used == set(yaml.safe_load(text)["volumes"])


def test_the_ci_workflow_runs_the_script() -> None:
    workflow = yaml.safe_load((EXAMPLES.parent / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert any(".ci/run" in step for step in steps)
