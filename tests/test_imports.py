"""What importing the package brings along, and what it says when something is not there."""

from __future__ import annotations

import subprocess
import sys
import textwrap

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


@pytest.mark.parametrize(
    ("make", "missing", "extra"),
    [
        ("RedisSessionService('redis://h')", "redis", "redis"),
        ("MongoSessionService('mongodb://h/db')", "pymongo", "mongodb"),
        ("RedisSessionService('fakeredis://')", "fakeredis", "fakes"),
        ("RedisSessionService('fakeredis://')", "lupa", "fakes"),
        ("MongoSessionService('mongomock://', 'db')", "mongomock", "fakes"),
        ("RedisSessionStore('redis://h')", "redis", "redis"),
        ("MongoSessionStore('mongodb://h/db')", "pymongo", "mongodb"),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(make: str, missing: str, extra: str) -> None:
    name = make.partition("(")[0]
    said = python(f"""
        import sys
        sys.modules[{missing!r}] = None
        try:
            from adk_extra_sessions import {name}
            {make}
        except Exception as error:
            print(type(error).__name__, error)
    """)
    assert said.startswith(("ConfigurationError", "ModuleNotFoundError"))
    assert f"pip install 'adk-extra-sessions[{extra}]'" in said


def test_public_names_are_complete() -> None:
    import adk_extra_sessions

    for name in adk_extra_sessions.__all__:
        assert getattr(adk_extra_sessions, name).__name__ == name
    assert set(adk_extra_sessions.__all__) <= set(dir(adk_extra_sessions))
    with pytest.raises(AttributeError):
        adk_extra_sessions.Nothing  # noqa: B018
