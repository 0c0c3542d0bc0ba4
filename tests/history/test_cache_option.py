"""The option `cache`: what it may be, and that a forked child can use it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.memory_backend import MemoryBackend
from support.processes import check_in_a_child

from adk_extra_sessions import MongoSessionService, RedisSessionService, SessionStore
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.mark.parametrize(
    "wrong", ["", "much", "64XB", "0", "0MB", "-1", "1e3", "0.0001KB", 0, -5, True, 1.5, ["64MB"], "٣MB", "9" * 5000]
)
def test_what_is_no_size_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="cache must be"):
        StoreOptions(cache=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "size"),
    [("64MB", 64_000_000), ("1GiB", 2**30), (" 512 kb ", 512_000), ("1.5MiB", 1_572_864), ("300", 300), (300, 300)],
)
def test_a_size_is_a_number_of_bytes_or_a_text(given: Any, size: int) -> None:
    assert StoreOptions(cache=given).cache_bytes == size


@pytest.mark.parametrize("history", ["compacted", 50, "50"])
def test_it_is_refused_with_parts_of_histories(history: Any) -> None:
    with pytest.raises(ConfigurationError, match="cache needs history='all'"):
        StoreOptions(history=history, cache="64MB")
    assert StoreOptions(history="all", cache="64MB").cache_bytes


def test_it_may_stand_in_the_url() -> None:
    assert RedisSessionService("fakeredis://cache?cache=64MB").store.options.cache_bytes == 64_000_000
    assert MongoSessionService("mongomock://cache/base?cache=1KiB").store.options.cache_bytes == 1024
    assert RedisSessionService("fakeredis://cache").store.options.cache_bytes == 0


@pytest.mark.parametrize("options", [{"cache": "1MB"}, {"history": 50}])
def test_a_backend_that_reads_no_parts_is_refused_by_name(options: dict[str, Any]) -> None:
    verbs = dict.fromkeys(Backend.__abstractmethods__)
    without_parts = type("WithoutParts", (Backend,), {**verbs, "driver_error": OSError, "server": "none"})
    with pytest.raises(ConfigurationError, match="A WithoutParts cannot read parts"):
        SessionStore(without_parts(), StoreOptions(**options))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    store = SessionStore(MemoryBackend(), StoreOptions(cache="1MB"))
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(str(number))) for number in range(30))
    store.get_session(**NAMES)
    assert store._cache is not None

    def loads_all() -> bool:
        store.get_session(**NAMES)
        found = store.get_session(**NAMES)
        return found is not None and texts(found) == [str(number) for number in range(30)]

    with store._cache._lock:
        check_in_a_child(loads_all)
