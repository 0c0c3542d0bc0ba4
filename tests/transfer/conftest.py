from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore


@pytest.fixture
def other_store(store: SessionStore) -> Iterator[SessionStore]:
    """A store of the other kind, on a fake."""
    name = f"test-{uuid.uuid4().hex}"
    if isinstance(store, RedisSessionStore):
        made: SessionStore = MongoSessionStore(f"mongomock://{name}", db_name=name)
    else:
        made = RedisSessionStore(f"fakeredis://{name}")
    with made:
        yield made
