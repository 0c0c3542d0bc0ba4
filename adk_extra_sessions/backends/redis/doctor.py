"""Checks a Redis server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from redis import RedisCluster
from redis.exceptions import ResponseError

from adk_extra_sessions.backends.findings import Finding, Level

OLDEST = (6, 0, 6)
"""The first version of Redis with LPOS, which finds repeated events."""

FULL = 0.9
"""The part of `maxmemory` above which little memory is left."""


def findings(client: Any) -> Iterator[Finding]:
    """Checks version, memory, eviction and durability; on a cluster, those of one node."""
    try:
        info = _info(client)
    except ResponseError as error:
        yield Finding(Level.NOTE, "server", f"INFO failed: {error}", "Allow this user to run INFO.")
        return
    yield _version(info)
    if "used_memory" in info:
        yield _memory(int(info["used_memory"]), int(info.get("maxmemory", 0)))
    if "maxmemory_policy" in info:
        yield _eviction(str(info["maxmemory_policy"]))
    if "aof_enabled" in info:
        yield _durability(bool(int(info["aof_enabled"])))


def _info(client: Any) -> Mapping[str, Any]:
    if isinstance(client, RedisCluster):
        return dict(client.info(target_nodes=client.get_random_node()))  # type: ignore[no-untyped-call]
    return dict(client.info())


def _version(info: Mapping[str, Any]) -> Finding:
    if "valkey_version" in info:  # all versions are newer than `OLDEST`
        return Finding(Level.OK, "version", f"Valkey {info['valkey_version']}")
    version = str(info.get("redis_version", ""))
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if not numbers or numbers >= OLDEST:
        return Finding(Level.OK, "version", f"Redis {version}")
    oldest = ".".join(map(str, OLDEST))
    return Finding(
        Level.PROBLEM, "version", f"Redis {version} lacks commands that are needed", f"Use {oldest} or newer."
    )


def _memory(used: int, limit: int) -> Finding:
    text = f"{used / 2**20:,.1f} MiB used, {f'{limit / 2**20:,.1f} MiB allowed' if limit else 'no limit set'}"
    if limit and used > FULL * limit:
        return Finding(Level.PROBLEM, "memory", text, "Raise maxmemory, let sessions expire (ttl), or delete some.")
    return Finding(Level.OK, "memory", text)


def _eviction(policy: str) -> Finding:
    if policy == "noeviction":
        return Finding(Level.OK, "eviction", "noeviction: a full server refuses writes and deletes nothing")
    remedy = "CONFIG SET maxmemory-policy noeviction"
    return Finding(Level.PROBLEM, "eviction", f"{policy}: a full server deletes sessions", remedy)


def _durability(appendonly: bool) -> Finding:
    if appendonly:
        return Finding(Level.OK, "durability", "appendonly is on")
    text = "appendonly is off: a crash loses all writes since the last snapshot"
    return Finding(Level.NOTE, "durability", text, "CONFIG SET appendonly yes, and in redis.conf")
