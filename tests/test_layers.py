"""Which modules import which: no cycles, each layer only itself and those below it, drivers only in their backend."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import adk_extra_sessions

PACKAGE = adk_extra_sessions.__name__
ROOT = Path(str(adk_extra_sessions.__file__)).parent

LAYERS = [
    "adk.private codec details driver_errors errors event_json forks history.calls history.outline history.rewinds"
    " json_form options page_tokens queries records redaction session state state_json urls usage validation",
    "backends turns.storage",
    "abilities appends archive backends.mongodb.store backends.redis.store basic_store erasing history listing"
    " live_sessions pruning session_records store telemetry turns writer",
    "aio",
    "adk conversation doctor transfer testing",
    "cli",
]
"""From the lowest to the highest; a module belongs to the longest of these names that its own begins with."""

DRIVERS = {"redis": "backends.redis", "pymongo": "backends.mongodb", "bson": "backends.mongodb"}
"""Where each driver may be imported, apart from the services, whose signatures name its clients."""


def modules() -> dict[str, ast.Module]:
    """All modules of the package by their names in it, but for the one that imports names when they are first used."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree: ast.AST) -> Iterator[str]:
    """All that a module imports when it is imported, or for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(node)


def graph() -> dict[str, set[str]]:
    """For each module of the package those that it imports."""
    known = modules()
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, tree in known.items():
        for imported in imports(tree):
            target = imported.removeprefix(f"{PACKAGE}.")
            while target != imported and target and target not in known:
                target = target.rpartition(".")[0]
            if target != imported and target:
                found[name].add(target)
    return found


def layer(module: str) -> int:
    """The number of the layer that a module belongs to."""
    names = {name: number for number, line in enumerate(LAYERS) for name in line.split()}
    found = module
    while found not in names:
        assert found, f"{module} belongs to no layer: say which in LAYERS"
        found = found.rpartition(".")[0]
    return names[found]


def test_the_graph_is_that_of_the_sources() -> None:
    assert {"appends", "live_sessions"} <= graph()["writer"]
    assert "backends.mongodb.store" in graph()["aio.mongodb"], "an import for type checkers counts"


def test_no_modules_import_each_other() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' -> '.join(error.args[1])}")


def test_no_module_imports_one_of_a_higher_layer() -> None:
    upward = [(name, one) for name, found in graph().items() for one in found if layer(one) > layer(name)]
    assert not upward


def test_the_backends_do_not_know_each_other() -> None:
    for name, found in graph().items():
        for backend, other in (("backends.redis", "backends.mongodb"), ("backends.mongodb", "backends.redis")):
            assert not (name.startswith(backend) and [one for one in found if one.startswith(other)]), name


def test_a_driver_is_imported_by_its_backend_alone() -> None:
    for name, tree in modules().items():
        for imported in imports(tree):
            home = DRIVERS.get(imported.partition(".")[0])
            assert home is None or name.startswith((home, "aio.")), f"{name} imports {imported}"
