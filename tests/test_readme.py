"""The README is short, and has the commands that set the project up. tests/test_docs.py runs its code."""

from __future__ import annotations

import re

import pytest
from support.documents import README, ROOT

TEXT = README.read_text("utf-8")


def test_it_is_short() -> None:
    assert len(TEXT.split()) <= 1400


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("example", "python examples/sessions/redis_session_example.py"),
        ("test", 'python -m pytest -q -n auto -m "not slow"'),
    ],
)
def test_command_is_one_line(name: str, ends: str) -> None:
    found = re.findall(rf"^<!-- {name} command -->\n```sh\n([^\n]*)\n```$", TEXT, re.MULTILINE)
    assert len(found) == 1
    assert found[0].startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert found[0].endswith(ends)


@pytest.mark.parametrize("name", ["google-adk", "redis", "pymongo"])
def test_the_lowest_version_it_names_is_the_one_tested(name: str) -> None:
    lowest = re.findall(rf"^    {name}==([\d.]+)$", (ROOT / "tox.ini").read_text("utf-8"), re.MULTILINE)
    row = re.findall(rf"^\| {name}(?:-py)? \| ([\d.]+),", TEXT, re.MULTILINE)
    assert row == lowest
    assert len(row) == 1
