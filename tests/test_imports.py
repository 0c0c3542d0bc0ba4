"""What importing the package brings along, and what it says when something is not there."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def python(script: str) -> str:
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_importing_the_package_imports_next_to_nothing() -> None:
    loaded = python("""
        import sys, adk_extra_sessions
        print([name for name in ("google.adk", "redis", "pymongo", "fakeredis", "mongomock") if name in sys.modules])
    """)
    assert loaded == "[]"


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("RedisSessionService", ("pymongo", "fakeredis", "mongomock")),
        ("MongoSessionService", ("redis", "fakeredis", "mongomock")),
    ],
)
def test_one_service_works_without_the_other_ones_driver(name: str, others: tuple[str, ...]) -> None:
    url = "redis://127.0.0.1:1" if "Redis" in name else "mongodb://127.0.0.1:1/db?connect=false"
    python(f"""
        import sys
        for other in {others!r}:
            sys.modules[other] = None  # as if it were not installed
        from adk_extra_sessions import {name}
        print({name}({url!r}))
    """)


MISSING = [
    ("RedisSessionService", "redis://h", "redis", "redis"),
    ("RedisSessionStore", "redis://h", "redis", "redis"),
    ("MongoSessionService", "mongodb://h/db", "pymongo", "mongodb"),
    ("MongoSessionStore", "mongodb://h/db", "pymongo", "mongodb"),
    ("RedisSessionService", "fakeredis://", "fakeredis", "fakes"),
    ("RedisSessionStore", "fakeredis://", "lupa", "fakes"),
    ("MongoSessionService", "mongomock:///db", "mongomock", "fakes"),
]


@pytest.mark.parametrize(("name", "url", "missing", "extra"), MISSING)
def test_a_missing_driver_is_one_error_that_names_its_remedy(name: str, url: str, missing: str, extra: str) -> None:
    said = python(f"""
        import sys
        sys.modules[{missing!r}] = None  # as if it were not installed
        if {missing!r} == "pymongo":
            sys.modules["bson"] = None  # which comes with it
        from adk_extra_sessions import ConfigurationError
        try:
            from adk_extra_sessions import {name}
            {name}({url!r})
        except ImportError as error:
            print(type(error).__name__, isinstance(error, ConfigurationError), error.name, error)
    """)
    assert said.startswith(f"MissingExtraError True {missing} ")
    assert f"install the extra {extra!r} of adk-extra-sessions" in said
    assert "bson" not in said


def test_another_package_named_bson_is_no_driver(tmp_path: Path) -> None:
    (tmp_path / "bson").mkdir()
    (tmp_path / "bson" / "__init__.py").touch()
    said = python(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        sys.modules["pymongo"] = None
        from adk_extra_sessions import MongoSessionService
        from adk_extra_sessions.errors import MissingExtraError
        try:
            MongoSessionService("mongodb://h/db")
        except MissingExtraError as error:
            print(error)
    """)
    assert said == "pymongo is not installed: install the extra 'mongodb' of adk-extra-sessions"


def test_public_names_are_complete() -> None:
    import adk_extra_sessions

    for name in adk_extra_sessions.__all__:
        assert getattr(adk_extra_sessions, name).__name__ == name
    assert set(adk_extra_sessions.__all__) <= set(dir(adk_extra_sessions))
    assert {"SessionService", "SessionStore"} <= set(adk_extra_sessions.__all__)
    with pytest.raises(AttributeError):
        adk_extra_sessions.Nothing  # noqa: B018


def test_all_that_a_place_shows_is_public() -> None:
    from adk_extra_sessions import transfer

    shown = set()
    for method in vars(transfer.Place).values():
        if callable(method):
            shown.update(re.findall(r"\b[A-Z]\w+", " ".join(map(str, method.__annotations__.values()))))
    home = vars(sys.modules[transfer.Place.__module__])
    ours = {name for name in shown & set(home) if home[name].__module__.startswith("adk_extra_sessions")}
    assert ours and ours <= set(transfer.__all__)
