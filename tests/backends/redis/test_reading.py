"""Reading events by time and by position, beside others who delete the session and create it again."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import SessionKey, Window
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}
KEY = SessionKey(APP, USER, "one")


@pytest.fixture(params=["fakeredis", "redis", "rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    from conftest import BACKENDS

    if request.param not in BACKENDS:
        pytest.skip("ADK_EXTRA_SESSIONS_SERVERS=1 tests real servers")
    return str(request.param)


def create(store: RedisSessionStore, count: int) -> Session:
    """Makes a session with events a second apart, the first at 2000.0."""
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(str(number), at=2000.0 + number)) for number in range(count))
    return session


def test_events_since_a_time_are_found(store: RedisSessionStore) -> None:
    create(store, 200)
    for after in (1000.0, 2000.0, 2071.5, 2072.0, 2136.0, 2198.0, 2199.0, 2200.0):
        for recent in (None, 3, 64, 65, 128, 199, 200, 500):
            config = GetSessionConfig(after_timestamp=after, num_recent_events=recent)
            found = store.get_session(**NAMES, config=config)
            newest = range(200)[-(recent or 200) :]
            assert found is not None and texts(found) == [str(number) for number in newest if 2000.0 + number >= after]


CLOCKS: dict[str, list[int]] = {
    "one event behind": [*range(2000, 2024), 1950, *range(2025, 2088)],
    "one event ahead": [*range(2000, 2023), 2060, *range(2024, 2100)],
    "set back": [*range(2000, 2024), *range(1950, 2014)],
}
"""Times of events: a wrong one is where reading from the end, 64 events at once, might stop too early."""


@pytest.mark.parametrize("clock", CLOCKS)
def test_events_since_a_time_are_found_though_clocks_were_wrong(store: RedisSessionStore, clock: str) -> None:
    session = store.create_session(**NAMES)
    for at in CLOCKS[clock]:
        store.append_event(session, an_event(at=at))
    for after in (2010.0, 2030.0, 2050.0):
        found = store.get_session(**NAMES, config=GetSessionConfig(after_timestamp=after))
        assert found is not None and found.events == [one for one in session.events if one.timestamp >= after]


def test_events_since_a_time_take_one_message_and_no_body_is_opened(
    store: RedisSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store, 400)
    key = f"{store.prefix}:{{{APP}/{USER}}}:e:one"
    store.client.lset(key, 1, b"\xff first")
    store.client.lset(key, -1, b"\xff last")
    store.archive.read(KEY, Window(after=2398.0))  # the server knows the script
    execute, sent = store.client.execute_command, []

    def counted(*arguments: Any, **options: Any) -> Any:
        sent.append(arguments[0])
        return execute(*arguments, **options)

    monkeypatch.setattr(store.client, "execute_command", counted)
    for after, count in ((2398.0, 2), (1000.0, 400)):
        sent.clear()
        record = store.archive.read(KEY, Window(after=after))
        assert record is not None and len(record.bodies) == count and record.bodies[-1] == b"\xff last"
        # The app's state is in another slot of a cluster.
        assert sent == ["EVALSHA"] + ([] if hasattr(store.client, "connection_pool") else ["HGETALL"])


def test_earlier_events_of_a_session_that_was_replaced_are_refused(store: RedisSessionStore) -> None:
    create(store, 1200)
    record = store.archive.read(KEY, Window(recent=10))
    assert record is not None
    earlier = store.archive.earlier(record)
    assert len(next(earlier)) == 500
    store.delete_session(**NAMES)
    create(store, 1200)
    with pytest.raises(SessionNotFoundError, match=r"'one'.*was deleted while it was read"):
        next(earlier)


def test_events_keep_their_positions_when_the_first_ones_are_removed(store: RedisSessionStore) -> None:
    session = create(store, 300)
    prefix = f"{store.prefix}:{{{APP}/{USER}}}"
    store.client.ltrim(f"{prefix}:e:one", 2 * 100, -1)  # as no call does yet
    store.client.hset(f"{prefix}:s:one", mapping={"first_position": 100, "event_count": 200})
    store.append_event(session, session.events[250].model_copy(deep=True))
    store.append_event(session, an_event("300", at=2299.5))
    store.append_event(session, an_event("late", at=2150.5))
    found = store.get_session(**NAMES)
    assert found is not None and texts(found) == [*(str(number) for number in range(100, 301)), "late"]
    found = store.get_session(**NAMES, config=GetSessionConfig(after_timestamp=2298.0))
    assert found is not None and texts(found) == ["298", "299", "300"]
    record = store.archive.read(KEY, Window(recent=10))
    assert record is not None and record.first == 292
    assert sum(len(page) for page in store.archive.earlier(record)) == 192
