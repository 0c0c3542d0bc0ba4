"""Reading events since a time, beside other writers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}
ALL = GetSessionConfig(after_timestamp=1000.0)


@pytest.fixture(params=["fakeredis", "redis", "rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    return str(request.param)


@pytest.fixture
def between_round_trips(store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has something done before a round trip of the store's, the first of a call not counted."""

    def prepare(operation: Callable[[], None], times: int) -> None:
        execute, sent = store.client.execute_command, 0

        def interrupted(*arguments: Any, **options: Any) -> Any:
            nonlocal sent
            sent += 1
            if sent % 2 == 0 and sent <= 2 * times:
                operation()
            return execute(*arguments, **options)

        monkeypatch.setattr(store.client, "execute_command", interrupted)

    return prepare


def create(store: RedisSessionStore, text: str) -> Session:
    """Makes a session with 200 events, all of this text."""
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(text, at=2000.0 + number)) for number in range(200))
    return session


@pytest.mark.parametrize("times", [1, 3])
def test_events_since_a_time_are_all_of_one_session(
    store: RedisSessionStore, make_store: Callable[..., RedisSessionStore], between_round_trips: Any, times: int
) -> None:
    other = make_store() if store._owns_client else RedisSessionStore(client=_second(store.client), prefix=store.prefix)
    create(other, "old")
    store.get_session(**NAMES, config=ALL)  # from here on the server knows the scripts

    def replace() -> None:
        other.delete_session(**NAMES)
        create(other, "new")

    between_round_trips(replace, times)
    found = store.get_session(**NAMES, config=ALL)
    assert found is not None and texts(found) == ["new"] * 200


def test_a_session_that_is_always_replaced_ends_in_an_error(
    store: RedisSessionStore, make_store: Callable[..., RedisSessionStore], between_round_trips: Any
) -> None:
    other = make_store() if store._owns_client else RedisSessionStore(client=_second(store.client), prefix=store.prefix)
    create(other, "old")
    store.get_session(**NAMES, config=ALL)

    def replace() -> None:
        other.delete_session(**NAMES)
        create(other, "new")

    between_round_trips(replace, 100)
    with pytest.raises(SessionNotFoundError, match=r"'one'.*was deleted while it was read"):
        store.get_session(**NAMES, config=ALL)


def _second(client: Any) -> Any:
    node = client.get_default_node()
    return type(client)(host=node.host, port=node.port)
