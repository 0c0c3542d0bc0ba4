from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen
from conftest import BACKENDS
from support.conversations import fill_store

from adk_extra_sessions import SessionStore
from adk_extra_sessions.cli import opening
from adk_extra_sessions.cli.main import main


@frozen
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command says that it waits for its server, however slow the machine is."""
    monkeypatch.setattr(opening, "QUIET", 3600)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture(params=[name for name in BACKENDS if name != "rediscluster"])  # which has no URL
def backend(request: pytest.FixtureRequest) -> str:
    """What a URL can name."""
    return str(request.param)


@pytest.fixture
def url(storage: dict[str, Any]) -> str:
    """The URL of the test's own storage."""
    if "prefix" in storage:
        return f"{storage['redis_url']}?prefix={storage['prefix']}"
    head, _, query = storage["mongo_url"].partition("?")
    return f"{head.removesuffix('/')}/{storage['db_name']}" + (f"?{query}" if query else "")


@pytest.fixture
def filled(store: SessionStore) -> SessionStore:
    """A store in which two users have sessions of all kinds."""
    fill_store(store)
    return store


@pytest.fixture
def other_url() -> str:
    """The URL of another place."""
    return f"fakeredis://other-{uuid.uuid4().hex}"
