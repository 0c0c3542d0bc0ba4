"""docs/observability.md: its blocks run, on fakes, and do what the page says of them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "observability.md").read_text("utf-8")


def block(about: str) -> str:
    """The Python block that holds a word, on fakes."""
    (found,) = [text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if about in text]
    found = found.replace("redis://localhost:6379", "fakeredis://page")
    return str(found.replace("mongodb://localhost:27017", "mongomock://page"))


def run(about: str) -> subprocess.CompletedProcess[str]:
    """Runs a block in a process of its own: it changes what is global."""
    ran = subprocess.run([sys.executable, "-c", block(about)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran


def test_every_block_is_tested() -> None:
    assert PAGE.count("```python") == 3


def test_spans_are_printed_among_adks_own() -> None:
    printed = run("ConsoleSpanExporter").stdout  # from two threads: lines may run into each other
    for name in ("get_session", "create_session", "append_event", "invoke_agent greeter"):
        assert name in printed


def test_logs_are_printed() -> None:
    assert "DEBUG:adk_extra_sessions.backends.redis.scripts:" in run("logging").stderr


def test_the_health_endpoints_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block("FastAPI"), "observability.md", "exec"), names)
    assert {"/livez", "/readyz"} <= {getattr(route, "path", "") for route in names["app"].routes}
    assert asyncio.run(names["ready"]()).status_code == asyncio.run(names["live"]()).status_code == 200

    def broken() -> None:
        raise ConnectionError("mongodb://ada:secret@host is gone")

    monkeypatch.setattr(names["service"].store, "ping", broken)
    ready = asyncio.run(names["ready"]())
    assert (ready.status_code, ready.body) == (503, b"ConnectionError")
    assert asyncio.run(names["live"]()).status_code == 200
    asyncio.run(names["service"].close())
