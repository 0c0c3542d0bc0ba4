"""Long reads on MongoDB: the connection breaks, or the server's cursor is gone, between two batches of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from google.adk.sessions.base_session_service import GetSessionConfig
from pymongo import MongoClient
from pymongo.errors import AutoReconnect
from support.before import After, Before
from support.proxy import ReplyLosingProxy
from support.servers import NO_ELECTIONS, SMALL_MEMBER, MongoServer, fail_over, initiate

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

pytestmark = pytest.mark.servers

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

OF_MANY_USERS = "of many users"

Read = Callable[[MongoSessionStore], Any]

READS: dict[str, tuple[str, Read]] = {
    "chunks": ("event_chunks", lambda store: store.get_session(**NAMES)),
    "chunks-since": (
        "event_chunks",
        lambda store: store.get_session(**NAMES, config=GetSessionConfig(after_timestamp=1001.0)),
    ),
    "large-bodies": ("event_chunks", lambda store: store.get_session(**{**NAMES, "session_id": "large"})),
    "states": ("state", lambda store: store.list_sessions(app_name=OF_MANY_USERS)),
}
"""Reads that need more than one batch of 16 MB, or of 101 documents, and the collection of these."""


def fill(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_many((session, an_event("x" * 200_000, at=1000.0 + number)) for number in range(130))
    session = store.create_session(**{**NAMES, "session_id": "large"})
    store.append_many((session, an_event("x" * 700_000)) for _ in range(30))
    for number in range(110):
        store.create_session(app_name=OF_MANY_USERS, user_id=f"user {number}", state={"user:number": number})


@pytest.fixture(scope="module")
def proxy() -> Iterator[ReplyLosingProxy]:
    """A proxy before a server with long histories."""
    with MongoServer() as server, ReplyLosingProxy(server.port, marker="\0") as proxy:
        with MongoSessionStore(server.url, "shop") as store:
            fill(store)
        yield proxy


@pytest.mark.parametrize("way", ["connection-broken", "cursor-gone"])
@pytest.mark.parametrize("what", READS)
def test_a_read_goes_on(proxy: ReplyLosingProxy, what: str, way: str) -> None:
    (port,) = proxy.ports.values()
    collection, read = READS[what]

    def end_all_cursors() -> None:
        with MongoClient(port=port) as client:
            client.admin.command("killAllSessions", [])

    between: Before
    if way == "cursor-gone":
        between = After("find", collection, end_all_cursors)
    else:
        between = Before("getMore", collection, proxy.break_connections)
    with MongoSessionStore(f"mongodb://127.0.0.1:{port}/shop", event_listeners=[between], timeoutMS=200_000) as store:
        found = read(store)
        assert not between.left
        assert found == read(store)


def test_a_read_that_never_gets_further_ends(proxy: ReplyLosingProxy) -> None:
    (port,) = proxy.ports.values()
    between = Before("getMore", "event_chunks", *[proxy.break_connections] * 100)
    with MongoSessionStore(f"mongodb://127.0.0.1:{port}/shop", event_listeners=[between], timeoutMS=200_000) as store:
        with pytest.raises(AutoReconnect, match="get_session on "):
            store.get_session(**{**NAMES, "session_id": "large"})
        assert len(between.left) == 97


def test_a_read_goes_on_with_the_next_primary() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(MongoServer(*SMALL_MEMBER, replica_set="reads")) for _ in range(3)]
        initiate(*servers, **NO_ELECTIONS)

        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        url = f"mongodb://{hosts}/shop?replicaSet=reads"
        between = Before("getMore", "event_chunks", lambda: fail_over(*servers))
        with (
            MongoSessionStore(url) as writing,
            MongoSessionStore(url, event_listeners=[between], timeoutMS=200_000) as store,
        ):
            session = writing.create_session(**NAMES)
            writing.append_many((session, an_event("x" * 200_000)) for _ in range(130))
            assert store.get_session(**NAMES) == session
            assert not between.left
