"""A Redis master dies under load, behind Sentinel and in a Cluster; a slot of a Cluster moves."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.failover_writers import check, write_through
from support.processes import pause, resume
from support.redis_cluster import RedisClusterServers
from support.redis_sentinel import NAME, RedisSentinelServers
from support.servers import WITH_REPLICAS, RedisServer, has_replicas, wait_until

from adk_extra_sessions import ConfigurationError, NotReplicatedError, RedisSessionService, RedisSessionStore
from adk_extra_sessions.errors import StaleSessionError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.backend_contract.samples import new_session
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids, texts

pytestmark = pytest.mark.servers

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


def documented() -> dict[str, Any]:
    """What the Python block of docs/deployment.md defines: clients as users make them."""
    document = Path(__file__).parents[2] / "docs" / "deployment.md"
    block = re.search(r"```python\n(.+?)```", document.read_text("utf-8"), re.DOTALL)
    assert block
    defined: dict[str, Any] = {}
    exec(block[1], defined)
    return defined


@pytest.fixture
def replicated() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    with (
        RedisServer(*WITH_REPLICAS) as master,
        RedisServer("--replicaof", "127.0.0.1", str(master.port)) as replica,
    ):
        wait_until(lambda: has_replicas(master, 1), "the replica does not follow")
        yield master, replica


def test_sentinel_promotes_a_replica_and_nothing_that_replicas_had_is_lost() -> None:
    async def main() -> None:
        with RedisSentinelServers() as servers:
            client = documented()["behind_sentinel"]([("127.0.0.1", servers.sentinel.port)], NAME)
            service = RedisSessionService(client=client, wait_replicas=1)
            writers = await write_through(service, servers.fail_over)
            assert sum(writer.lost for writer in writers) == 0
            await check(service, writers)
            await service.close()

    asyncio.run(main())


def test_a_write_that_no_replica_has_is_told_and_can_be_tried_again(replicated: tuple[Any, Any]) -> None:
    master, replica = replicated
    with (
        RedisSessionStore(f"{master.url}?wait_replicas=1&wait_timeout=0.5") as store,
        RedisSessionStore(f"{master.url}?wait_replicas=1&wait_timeout=9") as patient,
    ):
        session = patient.create_session(**NAMES)
        others = [patient.create_session(app_name=APP, user_id=USER) for _ in range(3)]
        pause(replica.process)
        event = an_event("kept", delta={"user:count": 1})
        before = session.model_copy(deep=True)
        for _ in range(2):  # a repetition, on the master already, is no better
            with pytest.raises(NotReplicatedError, match="0 of 1"):
                store.append_event(session, event)
        assert session == before
        assert {type(end) for end in store.append_many((one, an_event()) for one in others)} == {NotReplicatedError}
        with pytest.raises(NotReplicatedError):
            store.create_session(app_name=APP, user_id=USER)
        with pytest.raises(NotReplicatedError):
            store.delete_session(app_name=APP, user_id=USER, session_id=others[0].id)
        assert store.get_session(**NAMES) is not None  # reading waits for nobody
        resume(replica.process)
        store.client.set("mark", 1)
        wait_until(lambda: store.client.wait(1, 1000) == 1, "the replica does not follow again")
        patient.append_event(session, event)
        assert ids(session) == [event.id]
        stale = patient.get_session(**NAMES)
        assert stale == session
        patient.append_event(session, an_event())
        with pytest.raises(StaleSessionError):
            patient.append_event(stale, an_event())


@pytest.mark.parametrize("added", [0, 1, 5, 30])
def test_events_that_a_restart_lost_are_not_loaded_from_memory(added: int) -> None:
    with (
        RedisServer() as server,
        RedisSessionStore(server.url) as plain,
        RedisSessionStore(server.url, cache="1MB") as caching,
    ):
        session = plain.create_session(**NAMES)
        plain.append_many((session, an_event(f"kept {number}")) for number in range(40))
        plain.client.save()
        plain.append_many((session, an_event(f"lost {number}")) for number in range(5))
        loaded = caching.get_session(**NAMES)
        assert loaded is not None and len(loaded.events) == 45
        server.kill()
        server.start()
        left = plain.get_session(**NAMES)
        assert left is not None
        plain.append_many((left, an_event(f"kept {number}")) for number in range(40, 40 + added))
        for _ in range(2):
            loaded = caching.get_session(**NAMES)
            assert loaded is not None and texts(loaded) == [f"kept {number}" for number in range(40 + added)]
        assert loaded == plain.get_session(**NAMES)


def test_a_repetition_is_a_write_that_wait_can_wait_for(replicated: tuple[Any, Any]) -> None:
    """WAIT is defined by its own connection's last write; another connection may have written what is found."""
    master, _ = replicated

    def changes() -> int:
        return int(store.client.info("persistence")["rdb_changes_since_last_save"])

    with RedisSessionStore(master.url, wait_replicas=1, wait_timeout=9) as store:
        session = store.create_session(**NAMES)
        again = session.model_copy(deep=True)
        event = store.append_event(session, an_event())
        before = changes()
        store.append_event(again, event)
        assert changes() > before
        new = new_session(SessionKey(APP, USER, "two"))
        for _ in range(2):
            before = changes()
            assert store.backend.create(new) is not None
            assert changes() > before
        assert again == session == store.get_session(**NAMES)


def test_waiting_costs_no_round_trip(replicated: tuple[Any, Any]) -> None:
    master, _ = replicated
    with (
        RedisSessionStore(master.url, wait_replicas=1, wait_timeout=9) as store,
        redis.Redis(port=master.port) as client,
    ):
        session = store.create_session(**NAMES)
        store.append_event(session, an_event())

        def commands() -> dict[str, int]:
            found = client.info("commandstats")
            return {name: found.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "wait", "multi")}

        before = commands()
        store.append_many([(session, an_event(str(number))) for number in range(3)])
        after = commands()
        assert {name: after[name] - before[name] for name in before} == {"evalsha": 1, "wait": 1, "multi": 0}


@pytest.mark.parametrize(
    "options",
    [
        {"wait_replicas": 0},
        {"wait_replicas": "many"},
        {"wait_replicas": True},
        {"wait_timeout": 1},
        {"wait_replicas": 1, "wait_timeout": 0},
        {"wait_replicas": 1, "wait_timeout": 10},
        {"wait_replicas": 1, "socket_timeout": 1},
    ],
    ids=str,
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="wait_"):
        RedisSessionStore("redis://host", **options)


def test_a_client_without_a_limit_may_wait_for_replicas() -> None:
    RedisSessionStore(client=redis.Redis(socket_timeout=None), wait_replicas=1)


def test_a_loss_is_told_to_whoever_holds_the_session() -> None:
    """What a failover without WAIT may do: storage is again as it was before the newest event."""
    with RedisServer() as server, RedisSessionStore(server.url) as store:
        session = store.create_session(**NAMES)
        store.append_event(session, an_event("kept"))
        earlier = {key: store.client.dump(key) for key in store.client.scan_iter()}
        store.append_event(session, an_event("lost"))
        for key, value in earlier.items():
            store.client.restore(key, 0, value, replace=True)
        before = session.model_copy(deep=True)
        with pytest.raises(StaleSessionError):
            store.append_event(session, an_event("next"))
        assert session == before
        again = store.get_session(**NAMES)
        assert again is not None
        store.append_event(again, an_event("next"))
        assert texts(again) == ["kept", "next"]


def test_a_cluster_promotes_a_replica_and_no_loss_is_silent() -> None:
    """A replica may lack what its master acknowledged last. Whoever holds the session then learns so."""

    async def main() -> None:
        with RedisClusterServers(replicas=True) as cluster, documented()["on_a_cluster"](cluster.url) as client:
            service = RedisSessionService(client=client)
            writers = await write_through(service, lambda: cluster.fail_over(0))
            await check(service, writers)
            await service.close()

    asyncio.run(main())


def test_a_slot_moves_under_writers() -> None:
    async def main() -> None:
        with RedisClusterServers() as cluster, documented()["on_a_cluster"](cluster.url) as client:
            service = RedisSessionService(client=client)

            def move() -> None:
                for user in range(4):
                    move_slot(client, client.keyslot(f"{{{APP}/user{user}}}"))
                move_slot(client, client.keyslot(f"{{{APP}}}"))

            writers = await write_through(service, move)
            assert sum(writer.lost for writer in writers) == 0
            await check(service, writers)
            await service.close()

    asyncio.run(main())


def move_slot(cluster: redis.RedisCluster, slot: int) -> None:
    """Moves a slot to another master as `redis-cli --cluster reshard` does, key by key."""
    with redis.RedisCluster(cluster.get_default_node().host, cluster.get_default_node().port) as own:
        source = own.nodes_manager.get_node_from_slot(slot)
        target = next(node for node in own.get_primaries() if node.name != source.name)
        ids = {node.name: node.redis_connection.cluster("myid").decode() for node in own.get_primaries()}
        target.redis_connection.cluster("setslot", slot, "IMPORTING", ids[source.name])
        source.redis_connection.cluster("setslot", slot, "MIGRATING", ids[target.name])
        while keys := source.redis_connection.cluster("getkeysinslot", slot, 1):
            source.redis_connection.migrate(target.host, target.port, keys, 0, 60_000)
            time.sleep(0.02)  # writers meet the slot half moved
        for node in (target, source):
            node.redis_connection.cluster("setslot", slot, "NODE", ids[target.name])
