"""What an editor shows of the public names: signatures, docstrings, completion."""

from __future__ import annotations

import ast
import inspect
from importlib.resources import files
from typing import Any

import pytest

import adk_extra_sessions
from adk_extra_sessions import MongoSessionService, MongoSessionStore, RedisSessionService, RedisSessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.basic_store import BasicStore

PUBLIC = [getattr(adk_extra_sessions, name) for name in adk_extra_sessions.__all__]
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
