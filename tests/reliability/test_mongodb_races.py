"""Races that only MongoDB knows: readers during a chunk move, and processes that make the same indexes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from pymongo import MongoClient

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

ONE: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}

EVENTS = 16 * 13
"""Three moves, or more."""


@pytest.fixture(params=["mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """Real servers: between threads mongomock's updates are not atomic."""
    return str(request.param)


WINDOWS = {
    "all": None,
    "recent": GetSessionConfig(num_recent_events=70),
    "since": GetSessionConfig(after_timestamp=1030.0),
}


def numbers(session: Session) -> list[int]:
    return [int(text or "") for text in texts(session)]


def read_on(store: MongoSessionStore, window: str, done: threading.Event) -> int:
    """Reads again and again; what it sees has no gap, no double, and never gets shorter. Returns the readings."""
    readings = newest = 0
    while not (done.is_set() and readings):
        session = store.get_session(**ONE, config=WINDOWS[window])
        assert session is not None
        seen = numbers(session)
        last = seen[-1] if seen else -1
        first = {"all": 0, "recent": max(0, last - 69), "since": min(30, last + 1)}[window]
        assert seen == list(range(first, last + 1))
        assert last >= newest or not seen
        newest = max(newest, last)
        readings += 1
    return readings


def write_one_by_one(store: MongoSessionStore) -> None:
    session = store.create_session(**ONE)
    events = [an_event(str(number), at=1000.0 + number) for number in range(EVENTS)]
    store.append_many((session, event) for event in events[:90])
    for event in events[90:]:
        store.append_event(session, event)


def write_in_batches(store: MongoSessionStore) -> None:
    session = store.create_session(**ONE)
    others = [store.create_session(app_name=APP, user_id=USER) for _ in range(4)]
    for start in range(0, EVENTS, 13):
        batch = [(session, an_event(str(number), at=1000.0 + number)) for number in range(start, start + 13)]
        batch += [(other, an_event()) for other in others]
        store.append_many(batch)


@pytest.mark.parametrize("write", [write_one_by_one, write_in_batches])
def test_readers_see_no_gap_and_no_double_while_chunks_move(
    make_store: Callable[..., MongoSessionStore], write: Callable[[MongoSessionStore], None]
) -> None:
    store, reading = make_store(), make_store()
    done = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        writing = threads.submit(write, store)
        while reading.get_session(**ONE) is None:
            pass
        readers = [threads.submit(read_on, reading, window, done) for window in WINDOWS]
        try:
            writing.result()
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)
    assert store.backend.chunks.count_documents({}) >= (EVENTS - limits.TAIL_EVENTS) // (
        limits.TAIL_EVENTS - limits.KEPT_EVENTS
    )
    found = store.get_session(**ONE)
    assert found is not None and numbers(found) == list(range(EVENTS))


INDEXING = """
import logging, sys
from adk_extra_sessions import MongoSessionStore

logging.basicConfig(level=logging.WARNING)
url, ttl = sys.argv[1:]
for name in sys.stdin:
    with MongoSessionStore(url, db_name=name.strip(), ttl=float(ttl)) as store:
        store.ping()
        print("ready", flush=True)
        sys.stdin.readline()
        store.ensure_indexes()
        print("done", flush=True)
"""


@pytest.mark.parametrize("backend", ["mongod"], indirect=True)
def test_two_processes_make_indexes_at_once(server: Any, storage: dict[str, Any]) -> None:
    ttls = (100, 200)
    pipe: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    processes = [subprocess.Popen([sys.executable, "-c", INDEXING, server.url, str(ttl)], **pipe) for ttl in ttls]

    def everyone(line: str, answer: str) -> None:
        for process in processes:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout.readline().strip() == answer, process.stderr.read()

    with MongoClient(server.url) as client:
        try:
            for at in range(8):
                database = client[f"{storage['db_name']}-{at}"]
                everyone(database.name, "ready")
                everyone("", "done")
                indexes = {**database.sessions.index_information(), **database.event_chunks.index_information()}
                assert indexes["adk_sessions_ttl"]["expireAfterSeconds"] == 0
                assert indexes["adk_chunks_ttl"]["expireAfterSeconds"] == 0
                assert "adk_chunks_by_time" in indexes
                client.drop_database(database)
            assert [process.communicate(timeout=120)[1] for process in processes] == [""] * len(ttls)
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def test_a_session_created_amid_an_erasure_loses_no_events_alone(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_session(**ONE)
    delete = store.backend.chunks.delete_many
    created: list[Session] = []

    def delete_after_a_session_was_created(selected: Any) -> Any:
        if not created:
            created.append(store.create_session(app_name=APP, user_id=USER))
            store.append_many((created[0], an_event(str(number))) for number in range(EVENTS))
        return delete(selected)

    monkeypatch.setattr(store.backend.chunks, "delete_many", delete_after_a_session_was_created)
    store.delete_user(app_name=APP, user_id=USER)
    found = store.get_session(app_name=APP, user_id=USER, session_id=created[0].id)
    assert found is None or numbers(found) == list(range(EVENTS))
