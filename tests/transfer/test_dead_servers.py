"""A server that dies while it is copied, exported or examined: the error names the operation and the server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from google.adk.sessions import Session
from support.conversations import fill_store
from support.servers import MongoServer, RedisServer, Server, wait_until

from adk_extra_sessions import SessionStore
from adk_extra_sessions.doctor import examine
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import (
    Place,
    SessionKey,
    StorePlace,
    copy_items,
    open_place,
    plan_items,
    verify_items,
    write_items,
)

pytestmark = pytest.mark.servers
KEY = SessionKey(APP, "u:0", "long")

TOOLS: dict[str, Callable[[Place, Place], Any]] = {
    "copy from": lambda dead, other: list(copy_items(dead.items(), other)),
    "copy to": lambda dead, other: list(copy_items(other.items(), dead)),
    "plan": lambda dead, other: list(plan_items(other.items(), dead)),
    "verify": lambda dead, other: list(verify_items(other.items(), dead)),
    "export": lambda dead, _: list(write_items(dead.items(), io.BytesIO())),
    "list apps": lambda dead, _: list(dead.app_names()),
    "list keys": lambda dead, _: list(dead.keys(APP)),
    "list sessions": lambda dead, _: list(dead.sessions(APP)),
    "show": lambda dead, _: dead.stream(KEY),
    "app state": lambda dead, _: dead.shared_state(APP, None),
    "user state": lambda dead, _: dead.shared_state(APP, "u:0"),
    "set app state": lambda dead, _: dead.write_shared_state(APP, None, {"x": 1}),
    "restore": lambda dead, _: dead.restore(Session(app_name=APP, user_id="u", id="new"), [an_event()]),
    "discard": lambda dead, _: dead.discard(KEY),
    "delete": lambda dead, _: dead.delete(KEY),
}


@pytest.fixture(scope="module", params=["redis", "mongod"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with RedisServer() if request.param == "redis" else MongoServer() as server:
        yield server


@pytest.fixture
def place(server: Server) -> Iterator[StorePlace]:
    """A place with sessions, on a server that the test may kill."""
    if server.process is None:
        server.start()
    # A killed server refuses connections at once; only MongoDB's driver waits for it to come back.
    name = "dead?serverSelectionTimeoutMS=100" if isinstance(server, MongoServer) else ""
    with open_place(f"{server.url}{name}") as place:
        assert isinstance(place, StorePlace)
        wait_until(lambda: answers(place.store), "the driver does not find the server")
        if not list(place.keys(APP)):  # Redis loses them when it is killed
            fill_store(place.store, users=[0], lengths={"long": 450, "short": 3})
        yield place


def answers(store: SessionStore) -> bool:
    try:
        store.ping()
    except store.backend.driver_error:  # a busy machine takes longer than the driver waits
        return False
    return True


@pytest.fixture
def other() -> Iterator[Place]:
    with open_place("fakeredis://beside-the-dead") as place:
        assert isinstance(place, StorePlace)
        if not list(place.keys(APP)):
            fill_store(place.store, users=[0], lengths={"short": 3})
        yield place


def named(place: StorePlace, error: Exception) -> bool:
    """Whether an error names an operation and the server."""
    operation, on, rest = str(error).partition(" on ")
    return bool(on) and operation.replace("_", "").isalpha() and f"{place.store.backend.server}: " in rest


def test_the_error_of_every_tool_names_operation_and_server(place: StorePlace, other: Place, server: Server) -> None:
    server.kill()
    for tool, use in TOOLS.items():
        with pytest.raises(place.store.backend.driver_error) as raised:
            use(place, other)
        assert named(place, raised.value), (tool, str(raised.value))


def test_a_server_dies_in_the_middle_of_a_history(place: StorePlace, server: Server) -> None:
    found = place.stream(KEY)
    assert found is not None
    server.kill()
    with pytest.raises(place.store.backend.driver_error) as raised:
        list(found.events)
    assert named(place, raised.value), str(raised.value)


def test_a_server_dies_while_it_is_examined(place: StorePlace, server: Server) -> None:
    findings = examine(place.store)
    first = next(findings)
    server.kill()
    with pytest.raises(place.store.backend.driver_error) as raised:
        list(chain([first], findings))
    assert named(place, raised.value), str(raised.value)
    (finding,) = examine(place.store)
    assert finding.text.startswith("does not answer: ping on ")
