"""Clients of every kind on the server of a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from adk_extra_sessions import RedisSessionStore


def clients(store: RedisSessionStore) -> Iterator[Any]:
    pool = store.client.connection_pool
    fake = store.client.__class__.__module__.startswith("fakeredis")
    for options in (
        {"decode_responses": True},
        {"protocol": 2},
        {"protocol": 3},
        {"protocol": 3, "decode_responses": True},
    ):
        if fake:
            yield RedisSessionStore(store._arguments["redis_url"], **options).client
        else:
            kwargs = {name: pool.connection_kwargs[name] for name in ("host", "port", "db")}
            yield redis.Redis(**kwargs, **options)
