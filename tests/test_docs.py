"""The Python blocks of the documents run, on fakes; their links lead somewhere."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import Agent
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from adk_extra_sessions import RedisSessionService
from adk_extra_sessions.transfer import open_place

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def block(document: str, containing: str) -> dict[str, Any]:
    """Runs the Python block of a document that contains a text; returns its names."""
    text = (ROOT / "docs" / document).read_text("utf-8")
    (found,) = [
        one for one in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if containing in one
    ]
    found = found.replace("redis://localhost:6379", f"fakeredis://{document}")
    found = found.replace("mongodb://localhost:27017", f"mongomock://{document}")
    names: dict[str, Any] = {}
    exec(compile(found, document, "exec"), names)
    return names


def test_a_script_that_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_place("fakeredis://command-line.md") as place:
        place.write_shared_state("shop", None, {"open": True})
    names = block("command-line.md", "copy_items")
    assert len(names["exported"]) == len(names["imported"]) == 1
    assert (tmp_path / "sessions.jsonl.gz").exists()


def test_saving_the_sessions_of_a_process() -> None:
    save = block("migrating/in-memory.md", "async def save")["save"]

    async def process() -> None:
        service = InMemorySessionService()
        await service.create_session(app_name="shop", user_id="ada", session_id="s1", state={"user:name": "Ada"})
        await save(service)

    asyncio.run(process())
    with open_place("fakeredis://migrating/in-memory.md") as place:
        assert [key.session_id for key in place.keys("shop")] == ["s1"]
        assert place.shared_state("shop", "ada") == {"name": "Ada"}


def test_functions_of_a_cluster() -> None:
    assert callable(block("command-line.md", "RedisCluster")["cluster"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), link
            if anchor and target.suffix == ".md":
                heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads], link


def test_the_recipe_for_concurrent_messages() -> None:
    answer = block("concurrent-messages.md", "async def answer")["answer"]
    agent = Agent(name="greeter", before_agent_callback=lambda callback_context: types.ModelContent("Hello, Ada."))

    async def talk() -> list[str]:
        async with RedisSessionService("fakeredis://concurrent-messages.md") as service:
            runner = Runner(app_name="shop", agent=agent, session_service=service, auto_create_session=True)
            return await asyncio.gather(*(answer(runner, service, "s1", "Hello!") for _ in range(3)))

    assert asyncio.run(talk()) == ["Hello, Ada."] * 3
