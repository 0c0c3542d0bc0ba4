"""Kill -9 of the server under eight writers: what was acknowledged is there, once, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from operator import ge
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from support.servers import MongoServer, RedisServer, Server, initiate, wait_until

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.errors import SessionNotFoundError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, an_event

pytestmark = pytest.mark.servers

WRITERS = 8
KILLS = 3


@pytest.fixture(params=["redis", "mongod", "replicaset"])
def victim(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own, which syncs every write."""
    if request.param == "redis":
        with RedisServer("--appendonly", "yes", "--appendfsync", "always") as redis_server:
            yield redis_server
    else:
        replica_set = "victims" if request.param == "replicaset" else None
        with MongoServer(replica_set=replica_set) as mongo:
            if replica_set:
                initiate(mongo)
            yield mongo


def store_on(server: Server) -> SessionStore:
    if isinstance(server, RedisServer):
        return RedisSessionStore(server.url)
    return MongoSessionStore(server.url, db_name="victims")


def write(store: SessionStore, session: Session, stop: threading.Event, acknowledged: list[Event]) -> None:
    """Appends event after event; the same one again, while its outcome is unknown."""
    number = 0
    while not stop.is_set():
        number += 1
        event = an_event(
            str(number), delta={"count": number, f"user:{session.id}": number, f"app:{session.id}": number}
        )
        while True:
            try:
                store.append_event(session, event)
                break
            except (SessionNotFoundError, StaleSessionError):
                raise
            except Exception:
                time.sleep(0.05)
        acknowledged.append(event)


def test_nothing_acknowledged_is_lost_or_doubled(victim: Server) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []
    with store_on(victim) as store:
        sessions = [
            store.create_session(app_name=APP, user_id=f"user{n % 3}", session_id=f"s{n}") for n in range(WRITERS)
        ]
        acknowledged: list[list[Event]] = [[] for _ in sessions]

        def run(number: int) -> None:
            try:
                write(store, sessions[number], stop, acknowledged[number])
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()

        def progress() -> None:
            wanted = [len(events) + 5 for events in acknowledged]
            wait_until(
                lambda: bool(failed) or all(map(ge, map(len, acknowledged), wanted)), "a writer does not get further"
            )

        for _ in range(KILLS):
            progress()
            victim.kill()
            victim.start()
        progress()
        stop.set()
        for thread in threads:
            thread.join(timeout=120)
        assert failed == []
        assert not any(thread.is_alive() for thread in threads)
        for session, events in zip(sessions, acknowledged, strict=True):
            check(store, session, events)


def check(store: SessionStore, session: Session, events: list[Event]) -> None:
    names: dict[str, Any] = {"app_name": APP, "user_id": session.user_id}
    found = store.get_session(**names, session_id=session.id)
    assert found is not None
    assert len(events) > 5
    assert [event.id for event in found.events] == [event.id for event in events] == [e.id for e in session.events]
    assert found.state["count"] == len(events)
    assert store.get_user_state(**names)[session.id] == len(events)
    assert found.state[f"app:{session.id}"] == len(events)
