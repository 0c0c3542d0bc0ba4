"""Waits for replicas with Redis's WAIT, in the same round trip as the writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from attrs import frozen

from adk_extra_sessions.errors import ConfigurationError, NotReplicatedError
from adk_extra_sessions.urls import milliseconds

TIMEOUT = 2
"""Seconds to wait for replicas unless `wait_timeout` says otherwise."""


@frozen
class Replication:
    """What must have a write before it counts as stored.

    Attributes:
        replicas: How many replicas; 0 waits for none.
        timeout_ms: Milliseconds to wait for them.
    """

    replicas: int = 0
    timeout_ms: int = 0

    @classmethod
    def of(cls, client: Any, replicas: object, timeout: object) -> Replication:
        """Reads the store's options `wait_replicas` and `wait_timeout`.

        Raises:
            ConfigurationError: One of them is wrong, or `client` cannot wait.
        """
        if replicas is None:
            if timeout is not None:
                raise ConfigurationError("wait_timeout needs wait_replicas.")
            return cls()
        text = str(replicas)
        if isinstance(replicas, bool) or not text.isdecimal() or not int(text):
            raise ConfigurationError(f"wait_replicas must be 1 or more; got {replicas!r}.")
        if isinstance(client, redis.RedisCluster):
            # Its client has no way to send WAIT after a write on the same connection and to follow redirections.
            raise ConfigurationError("wait_replicas is for a single server or Sentinel, not for a Redis Cluster.")
        wait = cls(int(text), milliseconds("wait_timeout", TIMEOUT if timeout is None else timeout))
        patience = client.connection_pool.connection_kwargs.get("socket_timeout")
        if not wait.timeout_ms or (patience is not None and patience * 1000 <= wait.timeout_ms):
            raise ConfigurationError("wait_timeout must be more than 0 and less than the client's socket_timeout.")
        return wait

    def vouched(self, replies: Sequence[Any], acknowledged: Any) -> list[Any]:
        """Returns the replies to writes, or errors in their place if too few replicas have them.

        Args:
            replies: Replies and exceptions, one for each write.
            acknowledged: The reply to the WAIT that followed them.
        """
        if not isinstance(acknowledged, Exception):
            if acknowledged >= self.replicas:
                return list(replies)
            acknowledged = NotReplicatedError(self.replicas, acknowledged)
        return [reply if isinstance(reply, Exception) else acknowledged for reply in replies]
