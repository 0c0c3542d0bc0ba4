"""The pages and the README: their code runs, on fakes; their links, commands and lists are right."""

from __future__ import annotations

import asyncio
import configparser
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from cryptography.fernet import Fernet
from google.adk.agents import Agent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.apps import App
from google.adk.events import Event, EventActions
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types
from support.documents import PAGES, README, ROOT, code_blocks, name_of, on_fakes

import adk_extra_sessions
from adk_extra_sessions import (
    ConfigurationError,
    CorruptRecordError,
    InputValidationError,
    RedisSessionService,
    RedisSessionStore,
    SessionStore,
)
from adk_extra_sessions.cli.group import commands as group
from adk_extra_sessions.transfer import open_place

DOCUMENTS = [README, *PAGES]
DOCS = ROOT / "docs"

TESTED_ELSEWHERE = {"docs/adk.md": "adk_cli/test_page.py", "docs/observability.md": "test_observability_page.py"}
"""Pages whose Python blocks another file tests, all of them."""

WITH_CODE = [
    document for document in DOCUMENTS if code_blocks(document, "python") and name_of(document) not in TESTED_ELSEWHERE
]


def run(block: str, name: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Runs a block on fakes, with the names of the blocks before it; returns its names."""
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(on_fakes(block, name), name, "exec"), names)
    return names


def block_of(page: str, containing: str) -> str:
    """Returns the Python block of a page that contains a text."""
    (found,) = [block for block in code_blocks(DOCS / page, "python") if containing in block]
    return found


# The page on testing starts runs of pytest, of the whole contract.
RUN = [pytest.param(one, marks=[pytest.mark.slow] if one.name == "testing.md" else []) for one in WITH_CODE]


@pytest.mark.parametrize("document", RUN, ids=name_of)
def test_code_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in code_blocks(document, "python"):
        if re.search(r"^def test_|^class Test", block, re.MULTILINE):
            _run_tests(block, tmp_path)
        else:
            run(block, name_of(document), names)


def _run_tests(block: str, folder: Path) -> None:
    (folder / "test_block.py").write_text(on_fakes(block, "page"), "utf-8")
    # The plugin by its name, so that it is found whether or not the package is installed. Of the contract,
    # some tests, also those that need a service without sessions.
    options = ["-p", "adk_extra_sessions.testing.pytest_plugin", "-p", "anyio", "--rootdir", str(folder)]
    options += ["-k", "not TestMyService or delivered_again or pages"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\b[1-9]\d* passed", ran.stdout)


@pytest.mark.parametrize("page", TESTED_ELSEWHERE)
def test_pages_tested_elsewhere_are_named_there(page: str) -> None:
    assert Path(page).name in (ROOT / "tests" / TESTED_ELSEWHERE[page]).read_text("utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page, "diff")], ids=name_of)
def test_a_changed_line_of_code_runs(page: Path) -> None:
    for block in code_blocks(page, "diff"):
        run("\n".join(line[1:] for line in block.splitlines() if line[:1] in ("+", " ")), name_of(page))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_in_commands_and_yaml_are_right(document: Path) -> None:
    for block in code_blocks(document, "sh"):
        for path in re.findall(r"\bexamples/[\w./]+", block):
            assert (ROOT / path).exists(), path
    for block in code_blocks(document, "yaml"):
        assert yaml.safe_load(block)


def test_a_script_that_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_place("fakeredis://copies") as place:
        place.write_shared_state("shop", None, {"open": True})
    names = run(block_of("command-line.md", "copy_items"), "copies")
    assert len(names["exported"]) == len(names["imported"]) == 1
    assert (tmp_path / "sessions.jsonl.gz").exists()


def test_saving_the_sessions_of_a_process() -> None:
    save = run(block_of("migrating/in-memory.md", "async def save"), "process")["save"]

    async def process() -> None:
        service = InMemorySessionService()
        await service.create_session(app_name="shop", user_id="ada", session_id="s1", state={"user:name": "Ada"})
        await save(service)

    asyncio.run(process())
    with open_place("fakeredis://process") as place:
        assert [key.session_id for key in place.keys("shop")] == ["s1"]
        assert place.shared_state("shop", "ada") == {"name": "Ada"}


def test_the_codec_encrypts_events() -> None:
    names = run(block_of("encryption.md", "EncryptingCodec"), "encrypted")
    store, plain = names["store"], names["plain"]
    own = {"app_name": "shop", "user_id": "ada", "session_id": "s1"}
    session = store.create_session(**own)
    event = Event(
        author="user", content=types.UserContent("my secret"), actions=EventActions(state_delta={"met": True})
    )
    for _ in range(2):
        store.append_event(session, event.model_copy(deep=True))
    stored = plain.client.lrange("adk:{shop/ada}:e:s1", 0, -1)
    assert len(stored) == 2  # the header and the body of one event
    assert not any(word in text for text in stored for word in (b"secret", b"user", b"met"))
    assert [one.model_dump_json() for one in store.get_session(**own).events] == [event.model_dump_json()]
    with pytest.raises(CorruptRecordError):
        plain.get_session(**own)
    with pytest.raises(CorruptRecordError):
        SessionStore(plain.backend, plain.options, names["EncryptingCodec"](key=Fernet.generate_key())).get_session(
            **own
        )
    assert names["key"].decode() not in repr(store.codec)


def test_the_recipe_for_concurrent_messages() -> None:
    answer = run(block_of("concurrent-messages.md", "async def answer"), "messages")["answer"]
    agent = Agent(name="greeter", before_agent_callback=lambda callback_context: types.ModelContent("Hello, Ada."))

    async def talk() -> list[str]:
        async with RedisSessionService("fakeredis://messages") as service:
            runner = Runner(app_name="shop", agent=agent, session_service=service, auto_create_session=True)
            return await asyncio.gather(*(answer(runner, service, "ada", "s1", "Hello!") for _ in range(3)))

    assert asyncio.run(talk()) == ["Hello, Ada."] * 3


@pytest.mark.skipif(not hasattr(BasePlugin, "on_run_error_callback"), reason="an older ADK tells plugins less")
def test_the_recipe_lets_a_run_finish_inside_the_turn() -> None:
    answer = run(block_of("concurrent-messages.md", "async def answer"), "finishes")["answer"]
    ended = []

    class Watching(BasePlugin):
        async def after_run_callback(self, *, invocation_context: InvocationContext) -> None:
            names = {"app_name": "shop", "user_id": "ada", "session_id": "s1", "wait": 0}
            with pytest.raises(InputValidationError, match="has the turn"):
                await invocation_context.session_service.turn(**names).__aenter__()
            ended.append(invocation_context.invocation_id)

    silent = Agent(name="silent", before_agent_callback=lambda callback_context: types.Content(role="model"))

    async def talk() -> str:
        app = App(name="shop", root_agent=silent, plugins=[Watching("watching")])
        async with RedisSessionService("fakeredis://finishes") as service:
            runner = Runner(app=app, session_service=service, auto_create_session=True)
            said = await answer(runner, service, "ada", "s1", "Hello!")
            assert len(ended) == 1
            return said

    assert asyncio.run(talk()) == ""


@pytest.mark.parametrize("name", ["managing-sessions.md", "long-histories.md"])
def test_what_is_shown_for_mongodb_works_on_redis(name: str) -> None:
    page = DOCS / name
    code = "\n".join(code_blocks(page, "python")).replace("Mongo", "Redis")
    code = re.sub(r'"mongodb://localhost:27017", (db_name=)?"shop"', '"redis://localhost:6379"', code)
    code = code.replace("mongodb://localhost:27017/shop", "redis://localhost:6379")
    try:
        run(code, f"on-redis-{name}")
        works = True
    except ConfigurationError:
        works = False
    # Once it works, the page must no longer say otherwise.
    assert works != ("not available yet" in page.read_text("utf-8"))


@pytest.mark.parametrize("document", [*DOCUMENTS, *sorted(set(ROOT.glob("*.md")) - {README})], ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text("utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), link
            if anchor and target.suffix == ".md":
                heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads], link


def commands(document: Path) -> list[list[str]]:
    """Returns the arguments of each `adk-sessions` command in the shell blocks of a document."""
    lines = [line for block in code_blocks(document, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("adk-sessions ")]


COMMANDS = [
    pytest.param(command, id=f"{name_of(document)}-{' '.join(command)}")
    for document in DOCUMENTS
    for command in commands(document)
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_have_their_options(arguments: list[str]) -> None:
    context = click.Context(group, info_name="adk-sessions")
    name, command, rest = group.resolve_command(context, [_plain(argument) for argument in arguments])
    assert command is not None, name
    command.make_parser(click.Context(command, parent=context)).parse_args(list(rest))


def _plain(argument: str) -> str:
    # What a shell would insert there; names of users, in these pages.
    return "--user=ada" if argument.startswith("$(") else argument


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_extras_exist(document: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = set(setup["options.extras_require"])
    for extras in re.findall(r"adk[-_]extra[-_]sessions(?:-[\w.-]+\.whl)?\[([\w,]+)\]", document.read_text("utf-8")):
        assert set(extras.split(",")) <= known


def test_the_reference_has_every_public_name() -> None:
    page = (DOCS / "api.md").read_text("utf-8")
    assert [name for name in adk_extra_sessions.__all__ if not re.search(rf"\b{name}\b", page)] == []


def test_the_errors_page_has_every_error() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    errors = [name for name in adk_extra_sessions.__all__ if name.endswith("Error")]
    assert [name for name in errors if f"| `{name}`" not in page] == []


def test_the_observability_page_has_the_span_of_every_operation() -> None:
    table = (DOCS / "observability.md").read_text("utf-8").partition("| Operation |")[2].partition("\n\n")[0]
    operations = {name for name, _ in inspect.getmembers(RedisSessionStore, inspect.isfunction) if name[0] != "_"}
    assert {name for name in operations if f"`{name}`" not in table} == {"server_address"}


@pytest.mark.parametrize("backend", ["Redis", "Mongo"])
def test_the_options_page_has_every_option(backend: str) -> None:
    sections = (DOCS / "options.md").read_text("utf-8").split("\n## ")
    (own,) = [one for one in sections if one.startswith(backend)]
    (services,) = [one for one in sections if one.startswith("Only for the services")]
    documented = set(re.findall(r"^\| `(\w+)`", own + services, re.MULTILINE))
    taken = inspect.signature(getattr(adk_extra_sessions, f"{backend}SessionService")).parameters.values()
    assert documented == {one.name for one in taken if one.kind is not one.VAR_KEYWORD}


def test_the_map_of_the_code_has_every_module() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    package = ROOT / "adk_extra_sessions"
    names = [one.name for one in package.glob("*.py")] + [
        f"{one.parent.name}/" for one in package.glob("*/__init__.py")
    ]
    assert [name for name in names if name != "__init__.py" and name not in page] == []
