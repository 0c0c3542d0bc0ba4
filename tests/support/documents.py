"""The pages of the documentation, and their code blocks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("**/*.md"))


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def code_blocks(document: Path, language: str) -> list[str]:
    """Returns the code blocks in a language, each with its line numbers in the document."""
    text = document.read_text("utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in found]


def on_fakes(block: str, name: str) -> str:
    """Returns a block that uses in-process fakes of this name instead of servers."""
    name = name.replace("/", "-")
    block = re.sub(r"redis://(localhost|node|host):6379", f"fakeredis://{name}", block)
    return re.sub(r"mongodb://(localhost|host):27017", f"mongomock://{name}", block)


def run_in_process(block: str) -> subprocess.CompletedProcess[str]:
    """Runs a block in a process of its own, since it changes what is global."""
    ran = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return ran
