"""Two spellings of one place are recognised, and two places are not mistaken for one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adk_extra_sessions.transfer.same_place import same_place


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://h:1/0", "redis://h:1"),
        ("redis://h/2", "rediss://user:pass@H:6379?db=2&ttl=3"),
        ("redis://localhost", "redis://127.0.0.1:6379/0?prefix=adk"),
        ("redis://[::1]", "redis://"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=0&prefix=adk"),
        ("mongodb://h/shop?w=1&appName=a", "mongodb://user:pass@h:27017/shop?appName=a&w=1"),
        ("mongodb://a,b/shop?replicaSet=r", "mongodb://b:27017,c/shop"),
        ("mongomock://x/shop", "mongomock://x/shop?ttl=3"),
        ("adk-redis://h", "adk-rediss://h:6379/0?key_prefix=adk:session:"),
        ("adk-mongodb://h/shop", "adk-mongodb://user:pass@h:27017/shop"),
        ("postgresql+asyncpg://user:pass@h/shop", "postgresql+psycopg://h/shop"),
        ("places:one", "places:one"),
        ("unix:///run/%72edis.sock", "unix:///run/redis.sock"),
    ],
)
def test_two_spellings_of_one_place(one: str, other: str) -> None:
    assert same_place(one, other)
    assert same_place(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://h:1", "redis://h:2"),
        ("redis://h", "redis://h/1"),
        ("redis://h", "redis://h?prefix=other"),
        ("redis://h", "adk-redis://h"),
        ("redis://x", "fakeredis://x"),
        ("redis://[fe80::1]", "redis://[fe80::2]"),
        ("unix:///run/one.sock", "unix:///run/two.sock"),
        ("unix:///run/one.sock", "unix:///run/one.sock?db=1"),
        ("unix:///run/one.sock", "unix:///run/one.sock?prefix=other"),
        ("mongodb://h/shop", "mongodb://h/other"),
        ("mongodb://h/shop", "mongodb://h/shop?collection_prefix=new_"),
        ("mongodb://h/shop", "adk-mongodb://h/shop"),
        ("sqlite://", "sqlite:///:memory:"),
        ("places:one", "places:other"),
        ("localhost", "redis://localhost"),
        ("redis://user:a?b@h", "redis://h"),
    ],
)
def test_two_places(one: str, other: str) -> None:
    assert not same_place(one, other)
    assert not same_place(other, one)


def test_one_file_by_two_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "sessions.db")
    for other in (f"sqlite:///{tmp_path}/sessions.db", "sqlite:///link.db", "sqlite+aiosqlite:///sessions.db"):
        assert same_place("sqlite:///sessions.db", other)
    assert not same_place("sqlite:///sessions.db", "sqlite:///other.db")


def test_what_cannot_be_read_is_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert not same_place("sqlite+aiosqlite:///one.db", "sqlite+aiosqlite:///two.db")
