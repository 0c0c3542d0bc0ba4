"""The order of changes of the app's state on a Redis Cluster, after a failover that lost the newest of them."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from support.messages import WatchedStore

from adk_extra_sessions import ConfigurationError, CorruptRecordError, RedisSessionStore
from adk_extra_sessions.backends.redis.layout import AppKeys, SessionKeys
from adk_extra_sessions.records import SessionKey
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


def test_an_app_whose_state_cannot_be_changed_is_in_no_other_apps_way(store: RedisSessionStore) -> None:
    sessions = [store.create_session(app_name=app, user_id=USER) for app in ("foreign", "other")]
    store.client.set(AppKeys.of(store.prefix, "foreign").state, "x")
    outcomes = store.append_many((session, an_event(delta={"app:x": 1})) for session in sessions)
    assert [type(one) for one in outcomes] == [CorruptRecordError, Event]


def test_a_change_that_cannot_be_read_is_named(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    key = SessionKeys.of(store.prefix, SessionKey.of(APP, USER, session.id)).session
    store.client.hset(key, mapping={"pending:x": "{", "has_pending": "1"})
    for operation in (
        lambda: store.append_event(session, an_event()),
        lambda: store.delete_session(**NAMES, session_id=session.id),
    ):
        with pytest.raises(CorruptRecordError, match=USER):
            operation()


def test_a_cluster_cannot_wait_for_replicas(store: RedisSessionStore) -> None:
    with pytest.raises(ConfigurationError, match="not for a Redis Cluster"):
        RedisSessionStore(client=store.client, wait_replicas=1)
