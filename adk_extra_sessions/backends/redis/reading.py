"""Reading hashes and indexes as bytes, also with a client that decodes replies: what is stored may be no UTF-8."""

from __future__ import annotations

from typing import Any

RAW: dict[str, Any] = {"NEVER_DECODE": []}
"""The option of redis-py's `execute_command` that makes it return bytes."""


def read_hash(client: Any, key: str) -> Any:
    """Reads all fields of a hash.

    Args:
        client: A redis-py client or pipeline.
        key: The hash.
    """
    return client.execute_command("HGETALL", key, **RAW)


def scan_index(client: Any, key: str, cursor: int, count: int) -> Any:
    """Reads about `count` members of a sorted set; returns the next cursor, and members with their scores.

    Args:
        client: A redis-py client or pipeline.
        key: The sorted set.
        cursor: 0, or what the call before returned.
        count: About how many.
    """
    return client.execute_command("ZSCAN", key, cursor, "COUNT", count, **RAW)
