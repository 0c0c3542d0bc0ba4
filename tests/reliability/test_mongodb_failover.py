"""The primary of a MongoDB replica set dies under load, and reads never go to a secondary that lags behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pymongo import MongoClient, ReadPreference
from support.failover_writers import check, write_through
from support.servers import NO_ELECTIONS, SMALL_MEMBER, MongoServer, fail_over, initiate

from adk_extra_sessions import MongoSessionService, MongoSessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids

pytestmark = pytest.mark.servers

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

APPLYING = "rsSyncApplyStop"
"""The failpoint at which a member stops to apply what it has fetched."""


@pytest.fixture
def started() -> Iterator[ExitStack]:
    """Ends the servers that the test enters into it."""
    with ExitStack() as stack:
        yield stack


def members(started: ExitStack, count: int) -> list[MongoServer]:
    return [started.enter_context(MongoServer(*SMALL_MEMBER, replica_set="failover")) for _ in range(count)]


def test_another_member_takes_over_and_nothing_acknowledged_is_lost(started: ExitStack) -> None:
    servers = members(started, 3)
    initiate(*servers, **NO_ELECTIONS)

    async def main() -> None:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        service = MongoSessionService(f"mongodb://{hosts}/shop?replicaSet=failover")
        writers = await write_through(service, lambda: fail_over(*servers))
        assert sum(writer.lost for writer in writers) == 0
        await check(service, writers)
        await service.close()

    asyncio.run(main())


def test_reads_go_to_the_primary_whatever_the_client_prefers(started: ExitStack) -> None:
    primary, lagging = members(started, 2)
    initiate(primary, lagging, options=[{}, {"priority": 0, "votes": 0}], **NO_ELECTIONS)
    reply = lagging.command({"configureFailPoint": APPLYING, "mode": "alwaysOn"})
    # What it waits for already, it still applies: let it be this. From then on it stays as it is.
    primary.command({"appendOplogNote": 1, "data": {}, "writeConcern": {"w": 1}})
    lagging.command({"waitForFailPoint": APPLYING, "timesEntered": reply["count"] + 1, "maxTimeMS": 120_000})
    client = started.enter_context(MongoClient(primary.url, read_preference=ReadPreference.SECONDARY))
    store = MongoSessionStore(client=client, db_name="shop")
    session = store.create_session(**NAMES, state={"user:name": "Ada"})
    store.append_event(session, an_event())
    found = store.get_session(**NAMES)
    assert found is not None and ids(found) == ids(session)
    assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["one"]
    assert store.get_user_state(app_name=APP, user_id=USER) == {"name": "Ada"}
    assert client["shop"]["sessions"].count_documents({}) == 0  # what the client itself would read
