"""A Redis Cluster for tests: masters, each with its share of the slots, and maybe a replica of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import redis
from support.servers import WITH_REPLICAS, RedisServer, has_replicas, wait_until
from typing_extensions import Self

SLOTS = 16_384

NEVER = 600_000
"""Milliseconds of silence after which a node counts as dead, however slow the machine is."""


class RedisClusterServers:
    """Three masters, and with `replicas` one of each. Use it in a `with` statement.

    Args:
        options: More of each server's command line.
    """

    def __init__(self, *, replicas: bool = False, options: Sequence[str] = ()) -> None:
        command = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", *WITH_REPLICAS, *options)
        self.nodes = [RedisServer(*command) for _ in range(3)]
        self.replicas = [RedisServer(*command) for _ in self.nodes if replicas]
        self._started = ExitStack()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    def __enter__(self) -> Self:
        clients = []
        for node in [*self.nodes, *self.replicas]:
            self._started.enter_context(node)
            clients.append(self._started.enter_context(redis.Redis(port=node.port)))
        share = -(-SLOTS // len(self.nodes))
        for number, client in enumerate(clients):
            slots = range(number * share, min((number + 1) * share, SLOTS))
            if slots:
                client.execute_command("CLUSTER ADDSLOTS", *slots)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(self._complete(client) for client in clients), "the cluster did not form")
        replicas = clients[len(self.nodes) :]
        for master, replica in zip(clients, replicas, strict=False):
            replica.execute_command("CLUSTER REPLICATE", master.cluster("myid"))
        wait_until(lambda: all(has_replicas(node, 1) for node in self.nodes if replicas), "a replica does not follow")
        for client in clients:
            client.config_set("cluster-node-timeout", NEVER)
        return self

    def fail_over(self, number: int) -> None:
        """Ends a master as a crash would, and has its replica take over."""
        self.nodes[number].kill()
        with redis.Redis(port=self.replicas[number].port) as replica:
            replica.execute_command("CLUSTER FAILOVER", "TAKEOVER")
            wait_until(lambda: replica.info("replication")["role"] == "master", "the replica does not take over")

    def __exit__(self, *exc_info: object) -> None:
        self._started.close()

    def _complete(self, client: redis.Redis) -> bool:
        info = client.cluster("info")
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.nodes + self.replicas)
