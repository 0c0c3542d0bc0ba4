"""docs/adk.md: what it shows works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.adk.cli.service_registry import get_service_registry
from support.adk_server import EXAMPLES

from adk_extra_sessions import RedisSessionService

PAGE = EXAMPLES.parents[1] / "docs" / "adk.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("python"), ids=["services.py", "sentinel", "application"])
def test_block_runs(block: str, agents: Path, new_registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    exec(compile(block, PAGE, "exec"), {"__name__": "__main__"})


def test_services_yaml_is_that_of_the_example() -> None:
    (block,) = blocks("yaml")
    assert (EXAMPLES / "uppercase" / "services.yaml").read_text("utf-8").endswith(f"\n\n{block}")


def test_a_scheme_of_your_own_makes_the_service(new_registry: None) -> None:
    exec(compile(blocks("python")[1], PAGE, "exec"), {"__name__": "services"})
    service = get_service_registry().create_session_service("sentinel://", agents_dir="agents")
    assert isinstance(service, RedisSessionService)
