"""Whether two URLs name the same place, however each of them is written."""

from __future__ import annotations

import os
from contextlib import suppress
from urllib.parse import unquote

from attrs import frozen

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import Reading
from adk_extra_sessions.transfer.sql_apps import sqlite_path
from adk_extra_sessions.urls import query_options

_KINDS = {"rediss": "redis", "unix": "redis", "adk-rediss": "adk-redis", "adk-unix": "adk-redis"}
_PORTS = {"redis": "6379", "adk-redis": "6379", "mongodb": "27017", "adk-mongodb": "27017"}
_PREFIXES = {
    "redis": ("prefix", "adk"),
    "fakeredis": ("prefix", "adk"),
    "adk-redis": ("key_prefix", "adk:session:"),
    "mongodb": ("collection_prefix", ""),
    "mongomock": ("collection_prefix", ""),
}
"""For each kind of database, the option that sets the prefix of all names, and its default."""


@frozen
class _Storage:
    """One of the servers in a URL, with the database and prefix that the URL uses there."""

    kind: str
    server: str
    database: str = ""
    prefix: str = ""


def same_place(one: str, other: str) -> bool:
    """Whether two URLs name the same server, database and prefix; their other options do not matter.

    Args:
        one: A URL, as for `open_place`.
        other: A URL, as for `open_place`.
    """
    if one == other:
        return True
    with suppress(ConfigurationError, ImportError):  # opening the place explains what is wrong
        return not _storages(one).isdisjoint(_storages(other))
    return False


def _storages(url: str) -> set[_Storage]:
    reading = Reading.of(url)
    if reading is None:
        return set()
    scheme = reading.scheme
    kind = _KINDS.get(scheme, scheme.partition("+")[0])
    options = dict(query_options(url))
    if kind == "sqlite":
        return {_Storage(kind, os.path.realpath(path))} if (path := sqlite_path(url)) else set()
    option, default = _PREFIXES.get(kind, ("", ""))
    prefix = options.get(option, default)
    path = unquote(reading.path)
    if scheme.endswith("unix"):
        return {_Storage(kind, path, options.get("db", "0"), prefix)}
    database = path.strip("/")
    if kind.endswith("redis"):
        database = options.get("db") or database or "0"
    return {_Storage(kind, _server(host, kind), database, prefix) for host in reading.hosts.split(",")}


def _server(host: str, kind: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:  # an IPv6 address without a port
        name, port = host, _PORTS.get(kind, "")
    name = name.lower()
    return f"{'localhost' if name in ('', '127.0.0.1', '[::1]') else name}:{port}"
