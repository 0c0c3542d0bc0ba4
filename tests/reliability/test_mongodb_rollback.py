"""A primary of MongoDB dies before the others have its newest writes: what was acknowledged is there all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import define, field
from google.adk.sessions import Session
from pymongo.errors import PyMongoError
from support.before import Before
from support.proxy import ReplyLosingProxy
from support.servers import NO_ELECTIONS, SMALL_MEMBER, MongoServer, elect, initiate

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.errors import StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

pytestmark = pytest.mark.servers

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

FETCHING = "stopReplProducer"
"""The failpoint at which a member stops to fetch what others have written."""


@define
class Members:
    """A replica set of three whose replication can be held up."""

    servers: Sequence[MongoServer]
    proxy: ReplyLosingProxy
    primary: MongoServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.primary = next(server for server in self.servers if server.is_primary())

    def store(self, *options: str, patience: int = 200, **more: Any) -> MongoSessionStore:
        """Makes a store whose connections go through the proxy, and whose calls wait so many seconds for a primary."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.proxy.ports.values())
        options = ("replicaSet=rollback", f"timeoutMS={patience * 1000}", *options)
        return MongoSessionStore(f"mongodb://{hosts}/shop?{'&'.join(options)}", **more)

    def hold_replication(self) -> None:
        """Lets the secondaries fetch nothing from here on."""
        replies = self._on_secondaries("alwaysOn")
        # What they have asked for already, they are still sent: let it be this.
        self.primary.command({"appendOplogNote": 1, "data": {}, "writeConcern": {"w": 1}})
        for server, reply in zip(self._secondaries, replies, strict=True):
            held = {"waitForFailPoint": FETCHING, "timesEntered": reply["count"] + 1, "maxTimeMS": 60_000}
            server.command(held)

    def kill_primary(self) -> None:
        """Ends the primary as a crash would, and makes another; what the others have not fetched is lost."""
        self.primary.kill()
        self._on_secondaries("off")
        elect(*self._secondaries)

    @property
    def _secondaries(self) -> list[MongoServer]:
        return [server for server in self.servers if server is not self.primary]

    def _on_secondaries(self, mode: str) -> list[Any]:
        return [server.command({"configureFailPoint": FETCHING, "mode": mode}) for server in self._secondaries]


@pytest.fixture
def members() -> Iterator[Members]:
    with ExitStack() as stack:
        servers = [stack.enter_context(MongoServer(*SMALL_MEMBER, replica_set="rollback")) for _ in range(3)]
        proxy = stack.enter_context(ReplyLosingProxy(*(server.port for server in servers), marker="\0"))
        hosts = [{"host": f"127.0.0.1:{port}"} for port in proxy.ports.values()]
        initiate(*servers, options=hosts, **NO_ELECTIONS)
        yield Members(servers, proxy)


def soon(*actions: Callable[[], object]) -> None:
    """Does something while a command that has not been sent yet is being waited for."""

    def act() -> None:
        for action in actions:
            action()

    threading.Timer(1.0, act).start()


def again(store: MongoSessionStore) -> Session:
    found = store.get_session(**NAMES)
    assert found is not None
    return found


def test_a_repeated_event_that_only_the_old_primary_has_is_stored_again(members: Members) -> None:
    def lose_the_reply() -> None:
        members.hold_replication()
        soon(members.proxy.break_connections)

    before = Before("update", "sessions", lose_the_reply, lambda: soon(members.kill_primary))
    with members.store() as first:
        session = first.create_session(**NAMES)
    with members.store(event_listeners=[before]) as store:
        store.append_event(session, an_event("x" * 300_000))
        assert not before.left
        assert texts(again(store)) == texts(session) == ["x" * 300_000]


@pytest.mark.parametrize("meanwhile", [0, limits.TAIL_EVENTS - 1], ids=["fewer-events", "as-many-events"])
def test_no_chunk_of_events_that_were_rolled_back_is_taken_for_others(members: Members, meanwhile: int) -> None:
    with members.store() as careful:
        session = careful.create_session(**NAMES)
        careful.append_event(session, an_event("first"))
        kept = again(careful)

        def another_primary() -> None:
            members.kill_primary()
            careful.append_many((kept, an_event(f"kept {number}")) for number in range(meanwhile))

        before = Before("insert", "event_chunks", another_primary)
        with members.store("w=1", event_listeners=[before]) as hasty:
            members.hold_replication()
            for number in range(limits.TAIL_EVENTS - 1):
                hasty.append_event(session, an_event(f"rolled back {number}"))
            try:
                hasty.append_event(session, an_event("last"))
                assert meanwhile
            except StaleSessionError:
                assert not meanwhile
        assert not before.left
        assert careful.backend.chunks.count_documents({}) == 1
        kept = again(careful)
        for number in range(meanwhile, 200):
            careful.append_event(kept, an_event(f"kept {number}"))
        wanted = ["first", *(f"kept {number}" for number in range(200))]
        assert [text for text in texts(again(careful)) if text != "last"] == wanted
        assert len(kept.events) == len(again(careful).events)
        careful.delete_session(**NAMES)
        assert careful.backend.chunks.count_documents({}) == 0


def test_a_repeated_delete_waits_for_the_majority_too(members: Members) -> None:
    with members.store() as store:
        session = store.create_session(**NAMES)
        store.append_event(session, an_event())
        with members.store(patience=2) as hasty:
            members.hold_replication()
            for _ in range(2):
                with pytest.raises(PyMongoError) as caught:
                    hasty.delete_session(**NAMES)
                assert getattr(caught.value, "timeout", False), caught.value
        members.kill_primary()
        assert texts(again(store)) == ["hello"]  # the first did not come through either
        store.delete_session(**NAMES)
        assert store.get_session(**NAMES) is None


@pytest.mark.parametrize("added", [1, 5, 30])
def test_events_that_were_rolled_back_are_not_loaded_from_memory(members: Members, added: int) -> None:
    with (
        members.store() as careful,
        members.store("w=1") as hasty,
        members.store("cache=1MB") as caching,
    ):
        session = careful.create_session(**NAMES)
        careful.append_many((session, an_event(f"kept {number}")) for number in range(40))
        members.hold_replication()
        hasty.append_many((session, an_event(f"rolled back {number}")) for number in range(5))
        assert len(again(caching).events) == 45
        members.kill_primary()
        kept = again(careful)
        careful.append_many((kept, an_event(f"kept {number}")) for number in range(40, 40 + added))
        assert texts(again(caching)) == [f"kept {number}" for number in range(40 + added)]
        assert again(caching) == again(careful)
