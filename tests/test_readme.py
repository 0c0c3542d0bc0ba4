"""The README: its Python blocks run, on fakes, and its commands are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks() -> list[str]:
    """The Python blocks, each on a fake of its own, and below as many empty lines as tracebacks need."""
    found = []
    for number, match in enumerate(re.finditer(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)):
        text = match[1].replace("redis://localhost:6379", f"fakeredis://readme-{number}")
        text = text.replace("mongodb://localhost:27017", f"mongomock://readme-{number}")
        found.append("\n" * README.count("\n", 0, match.start(1)) + text)
    return found


BLOCKS = blocks()


def is_test(block: str) -> bool:
    return "\ndef test_" in block


def id_of(block: str) -> str:
    return next(line for line in block.splitlines() if "adk_extra_sessions" in line or "def test_" in line)


@pytest.mark.parametrize("block", [block for block in BLOCKS if not is_test(block)], ids=id_of)
def test_block_runs(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", [block for block in BLOCKS if is_test(block)], ids=id_of)
def test_block_of_tests_passes(block: str, tmp_path: Path) -> None:
    (tmp_path / "test_block.py").write_text(block, "utf-8")
    # The plugin by its name, so that it is found whether or not the package is installed.
    options = ["-p", "adk_extra_sessions.testing.pytest_plugin", "--rootdir", str(tmp_path)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_every_kind_of_block_was_found() -> None:
    assert len(BLOCKS) == README.count("```python")
    assert any(map(is_test, BLOCKS))
    assert not any("localhost" in block for block in BLOCKS)


@pytest.mark.parametrize(
    ("name", "ends"),
    [("example", "python examples/sessions/redis_session_example.py"), ("test", "python -m pytest -q")],
)
def test_command_is_one_line(name: str, ends: str) -> None:
    found = re.findall(rf"^<!-- {name} command -->\n```sh\n([^\n]*)\n```$", README, re.MULTILINE)
    assert len(found) == 1
    assert found[0].startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert found[0].endswith(ends)
