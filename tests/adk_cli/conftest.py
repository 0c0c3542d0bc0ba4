"""Where ADK's command line finds agents and sessions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.adk.cli import service_registry
from google.adk.cli.service_registry import ServiceRegistry
from support.adk_server import copy_of_examples

from adk_extra_sessions.aio.service import SessionService


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agents folder of the test's own, whose agent answers offline."""
    monkeypatch.setenv("GOOGLE_API_KEY", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where `adk run` writes its log
    # Where ADK keeps whether it may report how it is used.
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".adk").mkdir()
    (tmp_path / ".adk" / "config.json").write_text('{"telemetry": false}', "utf-8")
    return copy_of_examples(tmp_path)


@pytest.fixture
def uri(storage: dict[str, Any]) -> str:
    """The test's storage as `--session_service_uri`."""
    if "prefix" in storage:
        return f"{storage['redis_url']}?prefix={storage['prefix']}"
    return urlsplit(storage["mongo_url"])._replace(path=f"/{storage['db_name']}").geturl()


@pytest.fixture
def new_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ADK's registry as it is when a process starts; what it makes is closed after the test, which ADK does not do."""
    made = []

    def create(self: ServiceRegistry, uri: str, **options: Any) -> Any:
        made.append(original(self, uri, **options))
        return made[-1]

    original = ServiceRegistry.create_session_service
    monkeypatch.setattr(ServiceRegistry, "create_session_service", create)
    monkeypatch.setattr(service_registry, "_service_registry_instance", None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "services", raising=False)
    yield
    for service in made:
        if isinstance(service, SessionService):
            asyncio.run(service.close())
