"""A Redis Cluster for tests: masters only, each with its share of the slots."""

from __future__ import annotations

import time
from contextlib import ExitStack

import redis
from servers import RedisServer
from typing_extensions import Self

SLOTS = 16_384


class RedisClusterServers:
    """Three masters. Use it in a `with` statement."""

    def __init__(self, masters: int = 3) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes = [RedisServer(*options) for _ in range(masters)]
        self._started = ExitStack()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    def __enter__(self) -> Self:
        clients = []
        for node in self.nodes:
            self._started.enter_context(node)
            clients.append(self._started.enter_context(redis.Redis(port=node.port)))
        share = -(-SLOTS // len(clients))
        for number, client in enumerate(clients):
            slots = range(number * share, min((number + 1) * share, SLOTS))
            client.execute_command("CLUSTER ADDSLOTS", *slots)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        deadline = time.monotonic() + 60
        while not all(self._complete(client) for client in clients):
            assert time.monotonic() < deadline, "the cluster did not form"
            time.sleep(0.05)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._started.close()

    def _complete(self, client: redis.Redis) -> bool:
        info = client.cluster("info")
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.nodes)
