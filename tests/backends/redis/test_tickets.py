"""The order of changes of the app's state on a Redis Cluster, after a failover that lost the newest of them."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.sessions import Session
from support.messages import WatchedStore

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.backends.redis.layout import AppKeys
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER}


@pytest.fixture(params=["rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """A real cluster only: elsewhere the app's state changes with the event."""
    return str(request.param)


def died() -> None:
    raise RuntimeError("the writer died")


def test_what_a_dead_writer_left_undoes_nothing_after_tickets_were_lost(store: RedisSessionStore, server: Any) -> None:
    def read(session: Session) -> Session:
        found = store.get_session(**NAMES, session_id=session.id)
        assert found is not None
        return found

    dead, other = (store.create_session(**NAMES) for _ in range(2))
    store.append_event(other, an_event(delta={"app:x": 0}))
    key = AppKeys.of(store.prefix, APP).state
    replicated = store.client.dump(key)
    for number in range(3):
        store.append_event(other, an_event(delta={"app:lost": number}))
    watched = WatchedStore(server.url, store.prefix)
    with watched.at_message(3, died), pytest.raises(RuntimeError):
        watched.store.append_event(dead, an_event(delta={"app:x": 1}))
    watched.close()
    assert read(dead).state == {"app:x": 1, "app:lost": 2}
    store.client.restore(key, 0, replicated, replace=True)
    store.append_event(other, an_event(delta={"app:x": 2}))
    assert read(dead).state == {"app:x": 2}
    store.append_event(read(dead), an_event())  # applies what the dead writer left
    assert read(dead).state == read(other).state == {"app:x": 2}
