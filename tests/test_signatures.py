"""What an editor shows of the public names: signatures, docstrings, completion."""

from __future__ import annotations

import ast
import inspect
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import adk_extra_sessions
from adk_extra_sessions import MongoSessionService, MongoSessionStore, RedisSessionService, RedisSessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.basic_store import BasicStore
from adk_extra_sessions.options import MongoOptions, RedisOptions, StoreOptions
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.urls import take_options

PUBLIC = [getattr(adk_extra_sessions, name) for name in adk_extra_sessions.__all__]
DECLARED: list[tuple[type, type[StoreOptions]]] = [
    (RedisSessionStore, RedisOptions),
    (RedisSessionService, RedisOptions),
    (MongoSessionStore, MongoOptions),
    (MongoSessionService, MongoOptions),
]
PAIRS = [(RedisSessionService, RedisSessionStore), (MongoSessionService, MongoSessionStore)]


def public_methods(cls: type) -> dict[str, Any]:
    """What a class of this package adds, by name; ADK's and the driver's own are not ours to describe."""
    found = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("adk_extra_sessions"):
            found.update({name: getattr(cls, name) for name in vars(base) if not name.startswith("_")})
    return {name: method for name, method in found.items() if callable(method)}


def test_type_checkers_find_the_marker() -> None:
    assert files(adk_extra_sessions).joinpath("py.typed").is_file()


def test_editors_can_read_every_lazy_name() -> None:
    tree = ast.parse(inspect.getsource(adk_extra_sessions))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(adk_extra_sessions.__all__) == sorted(adk_extra_sessions._homes)


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_every_public_name_has_a_docstring(cls: type) -> None:
    assert inspect.getdoc(cls)
    for name, method in public_methods(cls).items():
        assert inspect.getdoc(method), name


@pytest.mark.parametrize("cls", [cls for pair in PAIRS for cls in pair], ids=lambda cls: cls.__name__)
def test_constructors_show_what_they_take(cls: type) -> None:
    doc = inspect.getdoc(cls) or ""
    for parameter in inspect.signature(cls).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        assert f"\n    {stars}{parameter.name}: " in doc


def descriptions(documented: type, section: str) -> dict[str, str]:
    """What a docstring says of each name in one of its sections."""
    doc = (inspect.getdoc(documented) or "").partition(f"{section}:\n")[2].partition("\n\n")[0]
    return {found[1]: found[2] for found in re.finditer(r"^    (\w+): (.*(?:\n        .*)*)", doc, re.MULTILINE)}


@pytest.mark.parametrize(("cls", "options"), DECLARED, ids=lambda cls: cls.__name__)
def test_options_are_those_declared_and_described_alike(cls: type, options: type[StoreOptions]) -> None:
    keywords = {one.name for one in inspect.signature(cls).parameters.values() if one.kind is one.KEYWORD_ONLY}
    assert keywords - {"client", "uri", "store", "agents_dir"} == set(options.names())
    declared = {**descriptions(StoreOptions, "Attributes"), **descriptions(options, "Attributes")}
    assert declared.keys() == set(options.names())
    shown = descriptions(cls, "Args")
    assert {name: shown[name] for name in declared} == declared


@pytest.mark.parametrize("options", [RedisOptions, MongoOptions], ids=lambda cls: cls.__name__)
def test_options_can_be_given_and_shown_in_urls_and_are_on_their_page(options: type[StoreOptions]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "options.md").read_text(encoding="utf-8")
    for name in options.names():
        url = f"redis://host?{name}=1&db=0"
        assert take_options(url, options.names()) == ("redis://host?db=0", {name: "1"})
        assert redact(url) == url
        assert f"| `{name}`" in page


@pytest.mark.parametrize(("service", "store"), PAIRS, ids=["redis", "mongodb"])
def test_a_services_constructor_takes_what_its_stores_does(service: type, store: type) -> None:
    wanted = dict(inspect.signature(store).parameters)
    shown = inspect.signature(service).parameters
    assert {name: shown[name].annotation for name in wanted} == {name: one.annotation for name, one in wanted.items()}
    assert all(one.default in (None, inspect.Parameter.empty) for one in shown.values())


@pytest.mark.parametrize("name", list(public_methods(SessionService)))
def test_a_services_methods_show_their_own_parameters(name: str) -> None:
    shown = inspect.signature(getattr(SessionService, name))
    assert not [one for one in shown.parameters.values() if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    store_method = getattr(adk_extra_sessions.SessionStore, name, None)
    if store_method is not None:
        assert list(shown.parameters.values()) == list(inspect.signature(store_method).parameters.values())


def test_a_store_shows_only_what_its_users_call() -> None:
    assert set(public_methods(adk_extra_sessions.SessionStore)) == {
        "append_event",
        "append_many",
        "close",
        "count_sessions",
        "create_session",
        "delete_app",
        "delete_session",
        "delete_user",
        "get_or_create_session",
        "get_session",
        "get_user_state",
        "iter_sessions",
        "list_sessions",
        "ping",
        "prune_sessions",
        "server_address",
        "turn",
        "update_session",
    }
    annotated = [name for name in BasicStore.__annotations__ if not name.startswith("_")]
    assert annotated == ["backend"]
