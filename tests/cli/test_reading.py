"""Commands that read leave the server as it was: with another ttl in their URL, and with a mistyped database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from redis import Redis
from support.conversations import fill_store
from support.servers import Server

from adk_extra_sessions import MongoSessionStore, SessionStore
from adk_extra_sessions.testing.contract.samples import APP, an_event

Run = Callable[..., Any]

READING = {
    "ls": ["ls", "URL"],
    "ls-app": ["ls", "URL", APP],
    "ls-users": ["ls", "URL", APP, "--users"],
    "show": ["show", "URL", APP, "u:0", "long"],
    "export": ["export", "URL", "FILE"],
    "doctor": ["doctor", "URL"],
    "copy-from": ["copy", "URL", "OTHER"],
    "dry-run-from": ["copy", "URL", "OTHER", "--dry-run"],
    "dry-run-to": ["copy", "OTHER", "URL", "--dry-run"],
    "verify": ["copy", "OTHER", "URL", "--dry-run", "--verify"],
}


@pytest.fixture(params=["redis", "mongod", "replicaset"])  # no URL names a cluster
def backend(request: pytest.FixtureRequest) -> str:
    """Real servers."""
    return str(request.param)


@pytest.fixture(autouse=True)
def nothing_of_other_tests(server: Server) -> None:
    """Empties the server: what other tests have left may expire while it is looked at."""
    if server.name == "redis-server":
        with Redis(port=server.port) as redis:
            redis.flushall()
        return
    with MongoClient(server.url) as client:
        for name in databases(client):
            client.drop_database(name)


def databases(client: MongoClient[Any]) -> set[str]:
    return set(client.list_database_names()) - {"admin", "config", "local"}


class Expiry:
    """When a key expires. Redis 6.2 has no PEXPIRETIME, so it is known to some milliseconds only."""

    def __init__(self, milliseconds: int | None) -> None:
        self.milliseconds = milliseconds

    @classmethod
    def of(cls, redis: Redis, key: bytes) -> Expiry:
        (seconds, micros), left = redis.pipeline().time().pttl(key).execute()
        return cls(None if left < 0 else seconds * 1000 + micros // 1000 + left)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Expiry)
        if self.milliseconds is None or other.milliseconds is None:
            return self.milliseconds == other.milliseconds
        return abs(self.milliseconds - other.milliseconds) < 100

    def __repr__(self) -> str:
        return f"Expiry({self.milliseconds})"


def everything(server: Server) -> Any:
    """All that a server holds for its users: databases, collections, indexes, documents; keys, values, expiry."""
    if server.name == "redis-server":
        with Redis(port=server.port) as redis:
            return {key: (redis.dump(key), Expiry.of(redis, key)) for key in redis.scan_iter()}
    with MongoClient(server.url) as client:
        held = {}
        for name in databases(client):
            for collection in client[name].list_collections():
                one = client[name][collection["name"]]
                indexes = [index.to_dict() for index in one.list_indexes()]
                held[name, collection["name"]] = (collection, indexes, list(one.find_raw_batches().sort("_id", 1)))
        return held


def with_options(url: str, *options: str) -> str:
    return "&".join([url if "?" in url else f"{url}?", *options]).replace("?&", "?").removesuffix("?")


@pytest.mark.parametrize("command", READING.values(), ids=READING.keys())
def test_reading_changes_nothing(
    run: Run,
    url: str,
    other_url: str,
    server: Server,
    make_store: Callable[..., SessionStore],
    tmp_path: Path,
    command: list[str],
) -> None:
    fill_store(make_store(ttl="30d"), lengths={"short": 3, "long": 130})
    before = everything(server)
    given = {"URL": with_options(url, "ttl=3"), "OTHER": other_url, "FILE": str(tmp_path / "all.jsonl")}
    if command[1] == "OTHER":
        run("copy", url, other_url)
    ran = run(*(given.get(part, part) for part in command))
    assert ran.code == 0, ran.err
    assert everything(server) == before


@pytest.mark.parametrize("command", READING.values(), ids=READING.keys())
def test_a_mistyped_database_is_not_made(
    run: Run, url: str, other_url: str, server: Server, storage: dict[str, Any], tmp_path: Path, command: list[str]
) -> None:
    before = everything(server)
    given = {"URL": with_options(url, "ttl=3"), "OTHER": other_url, "FILE": str(tmp_path / "all.jsonl")}
    run(*(given.get(part, part) for part in command))
    run("rm", given["URL"], APP, "u:0", "long", "--yes")
    assert everything(server) == before


def test_a_reading_store_changes_nothing(server: Server, make_store: Callable[..., SessionStore]) -> None:
    writer = make_store(ttl="30d")
    session = writer.create_session(app_name=APP, user_id="u", session_id="one", state={"user:a": 1})
    writer.append_many((session, an_event(str(number))) for number in range(130))
    before = everything(server)
    for ttl in (None, 3, "60d"):
        store = make_store(ttl=ttl)
        found = store.get_session(app_name=APP, user_id="u", session_id="one")
        assert found is not None and len(found.events) == 130
        assert len(store.list_sessions(app_name=APP).sessions) == 1
        assert len(list(store.iter_sessions(app_name=APP))) == 1
        assert store.get_user_state(app_name=APP, user_id="u") == {"a": 1}
        store.ping()
    assert everything(server) == before
    if isinstance(writer, MongoSessionStore):
        make_store(ttl=3).ensure_indexes()  # type: ignore[attr-defined]
        assert everything(server) == before
