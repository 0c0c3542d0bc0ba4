"""docs/observability.md: its blocks run, on fakes, and do what the page says of them."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import pytest
from support.documents import ROOT, code_blocks, on_fakes, run_in_process

PAGE = ROOT / "docs" / "observability.md"


def block(about: str) -> str:
    """The Python block that holds a word, on fakes."""
    (found,) = [text for text in code_blocks(PAGE, "python") if about in text]
    return on_fakes(found, "page")


def run(about: str) -> subprocess.CompletedProcess[str]:
    return run_in_process(block(about))


def test_every_block_is_tested() -> None:
    assert len(code_blocks(PAGE, "python")) == 3


def test_spans_are_printed_among_adks_own() -> None:
    printed = run("ConsoleSpanExporter").stdout  # from two threads: lines may run into each other
    for name in ("get_session", "create_session", "append_event", "invoke_agent greeter"):
        assert name in printed


def test_logs_are_printed() -> None:
    assert "DEBUG:adk_extra_sessions.backends.redis.scripts:" in run("logging").stderr


def test_the_health_endpoints_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    code = block("FastAPI")
    assert "timeout=2)" in code
    exec(compile(code.replace("timeout=2)", "timeout=60)"), "observability.md", "exec"), names)  # on a slow machine
    assert {"/livez", "/readyz"} <= {getattr(route, "path", "") for route in names["app"].routes}
    assert asyncio.run(names["ready"]()).status_code == asyncio.run(names["live"]()).status_code == 200

    def broken() -> None:
        raise ConnectionError("mongodb://ada:secret@host is gone")

    monkeypatch.setattr(names["service"].store, "ping", broken)
    ready = asyncio.run(names["ready"]())
    assert (ready.status_code, ready.body) == (503, b"ConnectionError")
    assert asyncio.run(names["live"]()).status_code == 200
    asyncio.run(names["service"].close())
