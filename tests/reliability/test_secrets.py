"""No password and nothing that is stored shows: not in any error, log, warning or repr, on any path."""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import redis
from pymongo import MongoClient
from support.provocations import (
    NAMES,
    PASSWORD,
    SECRET,
    Odd,
    Provoked,
    fail_on_the_server,
    fail_to_connect,
    refuse_appends,
    refuse_damaged,
    refuse_large,
    refuse_values,
    run_a_service,
)

from adk_extra_sessions import (
    SessionStore,
)

OTHERS = {
    "pymongo.command": "pymongo writes every command there at DEBUG",
    "google_adk.google.adk.events.event_actions": "ADK tells of a field that was given a value of another type",
}
"""Loggers that are not ours and show payloads, and when. See docs/reliability.md."""


@pytest.fixture
def storage(backend: str, storage: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The test's own storage, behind a password."""
    with ExitStack() as stack:
        if backend == "rediscluster":
            nodes = request.getfixturevalue("redis_cluster").nodes
            stack.enter_context(redis_user(*(node.port for node in nodes)))
            url = f"redis://keeper:{PASSWORD}@127.0.0.1:{nodes[0].port}"
            client = stack.enter_context(redis.RedisCluster.from_url(url))
            yield {**storage, "client": client}
        elif backend == "redis":
            port = request.getfixturevalue("redis_server").port
            stack.enter_context(redis_user(port))
            yield {**storage, "redis_url": f"redis://keeper:{PASSWORD}@127.0.0.1:{port}/0"}
        elif "redis" in backend or backend == "mongomock":
            yield storage
        else:
            url, name = storage["mongo_url"], storage["db_name"]
            with MongoClient(url) as client:
                client[name].command("createUser", "keeper", pwd=PASSWORD, roles=["readWrite"])
                yield {**storage, "mongo_url": url.replace("://", f"://keeper:{PASSWORD}@"), "authSource": name}
                client[name].command("dropUser", "keeper")


@contextmanager
def redis_user(*ports: int) -> Iterator[None]:
    """A user "keeper" on servers."""
    for port in ports:
        with redis.Redis(port=port) as client:
            client.acl_setuser("keeper", enabled=True, passwords=[f"+{PASSWORD}"], keys="*", categories=["+@all"])
    yield
    for port in ports:
        with redis.Redis(port=port) as client:
            client.acl_deluser("keeper")


def shown(error: BaseException) -> Iterator[str]:
    """Everything that anyone can read off an exception: a log, a debugger, an error tracker."""
    met: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in met:
            continue
        met.add(id(one))
        waiting += [one.__cause__, one.__context__]
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        for frame, _ in traceback.walk_tb(one.__traceback__):
            for value in frame.f_locals.values():
                with suppress(AttributeError):  # an attrs object that was refused while it was made
                    if is_ours(value):
                        yield repr(value)
    # Source lines are part of it; those of the tests name the canary by its constant only.
    yield "".join(traceback.format_exception(error))


def is_ours(value: object) -> bool:
    """Whether what a frame holds is an object of ours, or some of them."""
    if isinstance(value, (list, tuple)) and value:
        return all(map(is_ours, value))
    return type(value).__module__.startswith("adk_extra_sessions") and not isinstance(value, type)


def test_nothing_secret_is_ever_shown(
    make_store: Callable[..., SessionStore],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provoke = Provoked()
    with caplog.at_level(logging.DEBUG):
        store = make_store()
        refuse_values(provoke, store)
        coerced = make_store(unserializable="coerce")
        coerced.create_session(**NAMES, state={"key": Odd(), "other": [SECRET, Odd()]})
        refuse_appends(provoke, store)
        refuse_damaged(provoke, store)
        told = run_a_service(provoke, store)
        fail_to_connect(provoke, store)
        with monkeypatch.context() as patch:
            refuse_large(provoke, store, patch)
        with monkeypatch.context() as patch:
            fail_on_the_server(provoke, store, patch)
    told += [repr(store), str(store), repr(vars(store)["options"])]
    if store._owns_client:  # type: ignore[attr-defined]
        told.append(repr(pickle.loads(pickle.dumps(store))))
    out, err = capfd.readouterr()
    told += [out, err, *(str(one.message) for one in recwarn)]
    for record in caplog.records:
        if record.name not in OTHERS:
            told.append(f"{record.name}: {record.getMessage()} {record.args!r} {record.exc_text}")
            told += shown(record.exc_info[1]) if record.exc_info and record.exc_info[1] else []
        assert PASSWORD not in record.getMessage(), record.name
    leaks = [f"said: {text}" for text in told if SECRET in text]
    for name, error in provoke.errors.items():
        leaks += [f"{name}: {text}" for text in shown(error) if SECRET in text]
    assert not leaks, "\n\n".join(re.sub(r"(?s)^(.{600}).*", r"\1", leak) for leak in leaks)
    assert len(provoke.errors) > 40
