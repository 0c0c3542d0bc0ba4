"""All keys of a store on Redis as a text that people can read, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from adk_extra_sessions import RedisSessionStore

Keys = dict[str, dict[str, Any]]
"""By key: its type, what it holds, and whether it expires."""


def dump(store: RedisSessionStore) -> Keys:
    """Reads all keys; in the dump they begin with "adk"."""
    found: Keys = {}
    for key in sorted(store.client.scan_iter(match=f"{store.prefix}:*")):
        kind = store.client.type(key).decode()
        if kind == "hash":
            held: Any = {name.decode(): value.decode() for name, value in sorted(store.client.hgetall(key).items())}
        elif kind == "list":
            held = [one.decode() for one in store.client.lrange(key, 0, -1)]
        else:
            held = {name.decode(): score for name, score in store.client.zrange(key, 0, -1, withscores=True)}
        name = "adk" + key.decode()[len(store.prefix) :]
        found[name] = {"type": kind, "expires": store.client.pttl(key) >= 0, "holds": held}
    return found


def load(store: RedisSessionStore, keys: Keys) -> None:
    """Writes what `dump` has read; what expires does so in a day."""
    write = {
        "hash": lambda key, held: store.client.hset(key, mapping=held),
        "list": lambda key, held: store.client.rpush(key, *held),
        "zset": lambda key, held: store.client.zadd(key, held),
    }
    for name, content in keys.items():
        key = store.prefix + name[len("adk") :]
        write[content["type"]](key, content["holds"])
        if content["expires"]:
            store.client.pexpire(key, 86_400_000)


def written(keys: Keys) -> str:
    """Returns a dump as a file has it."""
    return json.dumps(keys, indent=1, ensure_ascii=False) + "\n"


def bodies(keys: Keys) -> Iterator[tuple[str, str]]:
    """Yields the header and the body of each event."""
    for content in keys.values():
        if content["type"] == "list":
            yield from zip(content["holds"][::2], content["holds"][1::2], strict=True)
