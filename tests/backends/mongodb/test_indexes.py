"""Indexes on MongoDB, and the expiry that they bring about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import AutoReconnect
from support.histories import NAMES
from support.proxy import ReplyLosingProxy
from support.servers import MongoServer

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.testing.contract.samples import an_event, texts


@pytest.mark.parametrize("ttl", [None, "3s", "30d"])
def test_indexes_are_the_same_whatever_the_ttl(make_store: Callable[..., MongoSessionStore], ttl: str | None) -> None:
    make_store(ttl="7d").create_session(**NAMES)
    store = make_store(ttl=ttl)
    store.ensure_indexes()
    for collection, name in (
        (store.backend.sessions, "adk_sessions_ttl"),
        (store.backend.chunks, "adk_chunks_ttl"),
        (store.backend.turns.turns, "adk_turns_ttl"),
    ):
        index = collection.index_information()[name]
        assert index["expireAfterSeconds"] == 0 and list(index["key"]) == [("expires_at", 1)]


def test_indexes_are_tried_again_after_a_bad_start(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*arguments: Any) -> Any:
        raise AutoReconnect("down")

    with monkeypatch.context() as patch:
        patch.setattr("adk_extra_sessions.backends.mongodb.indexes.ensure", down)
        with pytest.raises(AutoReconnect):
            store.create_session(**NAMES)
    store.create_session(**NAMES)
    assert "adk_chunks_by_time" in store.backend.chunks.index_information()


@pytest.mark.parametrize("backend", ["mongod", "replicaset"], indirect=True)
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_first_write_outlives_a_lost_reply_of_create_indexes(
    server: MongoServer, storage: dict[str, Any], lost: int
) -> None:
    with ReplyLosingProxy(server.port, marker="createIndexes") as proxy:
        url = f"mongodb://127.0.0.1:{proxy.ports[server.port]}/?directConnection=true"
        with MongoSessionStore(server.url, db_name=storage["db_name"]) as writer:
            session = writer.create_session(**NAMES)
        with MongoSessionStore(url, db_name=storage["db_name"]) as store:
            proxy.lose(lost)
            store.append_event(session, an_event("first"))
            assert proxy.lost == 1
            found = store.get_session(**NAMES)
            assert found is not None and texts(found) == ["first"]
