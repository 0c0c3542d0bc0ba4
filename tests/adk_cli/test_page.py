"""docs/adk.md: what it shows works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.adk_server import EXAMPLES

PAGE = EXAMPLES.parents[1] / "docs" / "adk.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("python"), ids=["services.py", "application"])
def test_block_runs(block: str, agents: Path, new_registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parents[1])
    exec(compile(block, PAGE, "exec"), {"__name__": "__main__"})


def test_services_yaml_is_that_of_the_example() -> None:
    (block,) = blocks("yaml")
    assert (EXAMPLES / "uppercase" / "services.yaml").read_text("utf-8").endswith(f"\n\n{block}")
