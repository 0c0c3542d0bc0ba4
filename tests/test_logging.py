"""What the loggers say, at which level, and that ordinary work is silent."""

from __future__ import annotations

import logging
import pkgutil
import threading
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

import adk_extra_sessions
from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.mongodb import shared_state
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES = {"app_name": APP, "user_id": USER}
SECRET = "4711-sesame"


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What this package has logged in this thread; others may be left of other tests."""
    here = threading.get_ident()
    return [one for one in caplog.records if one.name.startswith("adk_extra_sessions") and one.thread == here]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[int], list[str]]:
    """What was logged at a level, by logger."""
    caplog.set_level(logging.DEBUG, "adk_extra_sessions")

    def at(level: int) -> list[str]:
        own = [one for one in ours(caplog) if one.levelno == level]
        return [f"{one.name.removeprefix('adk_extra_sessions.')}: {one.getMessage()}" for one in own]

    return at


@pytest.fixture
def mongo() -> MongoSessionStore:
    return MongoSessionStore(mongo_url=f"mongomock://{uuid.uuid4()}", db_name="db")


def test_each_modules_logger_bears_its_name() -> None:
    for module in pkgutil.walk_packages(adk_extra_sessions.__path__, "adk_extra_sessions."):
        logger = getattr(import_module(module.name), "logger", None)
        assert logger is None or logger.name == module.name


def test_ordinary_work_says_nothing_above_debug(store: SessionStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "adk_extra_sessions")
    state = {"key": SECRET, "app:key": SECRET, "user:key": SECRET}
    session = store.create_session(**NAMES, state=state)
    for number in range(250):
        store.append_event(session, an_event(SECRET, delta=state if number % 50 == 0 else None))
    store.get_session(**NAMES, session_id=session.id)
    store.list_sessions(app_name=APP)
    store.delete_session(**NAMES, session_id=session.id)
    assert {record.levelno for record in ours(caplog)} <= {logging.DEBUG}
    assert SECRET not in caplog.text


def test_moving_events_to_a_chunk_is_a_detail(mongo: MongoSessionStore, said: Any) -> None:
    session = mongo.create_session(**NAMES, session_id="one")
    mongo.append_many([(session, an_event(str(number))) for number in range(300)])
    assert "backends.mongodb.chunk_writer: one: 50 events were copied to a chunk." in said(logging.DEBUG)


def test_what_a_crash_left_is_told_when_it_is_mended(
    mongo: MongoSessionStore, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = mongo.create_session(**NAMES, session_id="one")

    def lost(*arguments: Any) -> None:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(shared_state.SharedStates, "apply", lost)
        with pytest.raises(ConnectionError):
            mongo.append_event(session, an_event(delta={"user:a": SECRET}))
    assert said(logging.INFO) == []
    found = mongo.get_session(**NAMES, session_id="one")
    assert found is not None and said(logging.INFO) == []
    mongo.append_event(found, an_event())
    (told,) = said(logging.INFO)
    assert told.startswith("backends.mongodb.shared_state: Session 'one' of user")
    assert SECRET not in told


def test_a_server_that_forgot_the_scripts_is_a_detail(said: Any) -> None:
    with RedisSessionStore(f"fakeredis://{uuid.uuid4()}") as store:
        store.client.script_flush()
        store.create_session(**NAMES)
    assert said(logging.DEBUG) == ["backends.redis.scripts: The server did not know a script; it is sent the source."]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
