"""A Redis master with two replicas and a Sentinel that watches them, for tests."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import redis
from support.servers import WITH_REPLICAS, RedisServer, has_replicas, wait_until
from typing_extensions import Self

NAME = "sessions"
"""What the Sentinel calls its master."""


class SentinelServer(RedisServer):
    """One Sentinel whose word is enough."""

    def __init__(self, master: RedisServer) -> None:
        super().__init__("--sentinel")
        self.master = master

    def _command(self) -> list[str]:
        config = self.folder / "sentinel.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 1",
            # However slow the machine is, no server counts as dead before the test says so.
            f"sentinel down-after-milliseconds {NAME} 600000",
            f"sentinel failover-timeout {NAME} 600000",
        ]
        config.write_text("\n".join(lines) + "\n")
        return [str(config)]


class RedisSentinelServers:
    """Master, replicas and Sentinel. Use it in a `with` statement."""

    def __init__(self) -> None:
        options = ("--appendonly", "yes", *WITH_REPLICAS)
        self.master = RedisServer(*options)
        follow = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replicas = [RedisServer(*options, *follow) for _ in range(2)]
        self.sentinel = SentinelServer(self.master)
        self._started = ExitStack()

    def __enter__(self) -> Self:
        for server in (self.master, *self.replicas):
            self._started.enter_context(server)
        wait_until(lambda: has_replicas(self.master, 2), "a replica does not follow")
        self._started.enter_context(self.sentinel)
        with redis.Redis(port=self.sentinel.port) as sentinel:
            wait_until(lambda: len(sentinel.sentinel_slaves(NAME)) == 2, "the Sentinel does not see the replicas")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._started.close()

    def fail_over(self) -> None:
        """Ends the master as a crash would, and has the Sentinel promote a replica."""
        self.master.kill()
        with redis.Redis(port=self.sentinel.port) as sentinel:

            def is_promoted() -> bool:
                found = sentinel.sentinel_master(NAME)
                if found["port"] != self.master.port:
                    return True
                if "failover_in_progress" not in found["flags"]:
                    with suppress(redis.ResponseError):  # no replica has answered lately
                        sentinel.execute_command("SENTINEL FAILOVER", NAME)
                return False

            wait_until(is_promoted, "no replica is promoted")
