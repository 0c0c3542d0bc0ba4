"""Indexes on MongoDB, and the expiry that they bring about."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from histories import NAMES
from pymongo.errors import AutoReconnect

from adk_extra_sessions import MongoSessionStore


def test_indexes_are_made_once_and_ttl_changes_in_place(make_store: Callable[..., MongoSessionStore]) -> None:
    store = make_store(ttl=100)
    store.create_session(**NAMES)
    assert store._sessions.index_information()["adk_sessions_ttl"]["expireAfterSeconds"] == 100
    assert store._chunks.index_information()["adk_chunks_ttl"]["expireAfterSeconds"] == 200
    other = make_store(ttl=7)
    other.ensure_indexes()
    assert store._sessions.index_information()["adk_sessions_ttl"]["expireAfterSeconds"] == 7
    assert store._chunks.index_information()["adk_chunks_ttl"]["expireAfterSeconds"] == 14


def test_a_forgotten_ttl_index_is_told(
    make_store: Callable[..., MongoSessionStore], caplog: pytest.LogCaptureFixture
) -> None:
    make_store(ttl=100).ensure_indexes()
    with caplog.at_level(logging.WARNING):
        make_store().ensure_indexes()
    assert "adk_sessions_ttl" in caplog.text


def test_indexes_are_tried_again_after_a_bad_start(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*arguments: Any) -> Any:
        raise AutoReconnect("down")

    with monkeypatch.context() as patch:
        patch.setattr("adk_extra_sessions.stores.mongodb.indexes.ensure", down)
        with pytest.raises(AutoReconnect):
            store.create_session(**NAMES)
    store.create_session(**NAMES)
    assert "adk_chunks_by_time" in store._chunks.index_information()
