"""Events whose clock was far ahead: neither appends nor reads since a time search the whole history for them."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture(params=["fakeredis", "redis", "rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    return str(request.param)


CLOCKS = {
    "steady": (0.002, (50.0, 1e6)),
    "often-wrong": (0.1, (1e6, 50.0, -40.0, 1e9)),
}
"""How often an event's clock is wrong, and by how much."""


def times(chance: random.Random, count: int, clock: str) -> list[float]:
    """Returns times of a clock that runs on, steps back a little now and then, and sometimes is wrong."""
    share, errors = CLOCKS[clock]
    now, found = 1000.0, []
    for _ in range(count):
        now += chance.choice((0.0, 0.1, 0.2, 0.3, -0.2 * chance.random()))
        found.append(now + (chance.choice(errors) if chance.random() < share else 0))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("seed", range(4))
def test_wrong_clocks_lose_and_repeat_nothing(store: RedisSessionStore, seed: int, clock: str) -> None:
    chance = random.Random(seed)
    session = store.create_session(**NAMES)
    events = [an_event(str(number), at=time) for number, time in enumerate(times(chance, 1500, clock))]
    appended: list[Any] = []
    while len(appended) < len(events):
        new = events[len(appended) : len(appended) + chance.choice((1, 3, 60))]
        again = [event.model_copy(deep=True) for event in chance.sample(appended, min(len(appended), 2))]
        store.append_many((session, event) for event in [*again, *new])
        appended += new
    assert ids(session) == [event.id for event in events]
    ahead = [event.timestamp for event, later in pairwise(events) if event.timestamp > later.timestamp + 10]
    for after in [*ahead[:20], *(event.timestamp for event in chance.sample(events, 10))]:
        recent = chance.choice((None, None, 3, 90, 1000))
        config = GetSessionConfig(after_timestamp=after, num_recent_events=recent)
        wanted = [event.id for event in (events if recent is None else events[-recent:]) if event.timestamp >= after]
        found = store.get_session(**NAMES, config=config)
        assert found is not None and ids(found) == wanted


def test_an_event_far_ahead_makes_nothing_search_the_history(store: RedisSessionStore, server: object) -> None:
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(at=at)) for at in [*(1e9 + number for number in range(3)), 1000.0])
    _nodes(store, "config_resetstat")
    store.append_many((session, an_event(at=1001.0 + number)) for number in range(2000))
    assert _calls(store, "lpos") == 0
    _nodes(store, "config_resetstat")
    found = store.get_session(**NAMES, config=GetSessionConfig(after_timestamp=2990.0))
    assert found is not None and [event.timestamp for event in found.events[:4]] == [1e9, 1e9 + 1, 1e9 + 2, 2990.0]
    assert _calls(store, "lrange") <= 4


def _nodes(store: RedisSessionStore, operation: str, *arguments: Any) -> list[Any]:
    cluster = not hasattr(store.client, "connection_pool")
    result = getattr(store.client, operation)(*arguments, **({"target_nodes": "primaries"} if cluster else {}))
    return list(result.values()) if cluster and isinstance(result, dict) else [result]


def _calls(store: RedisSessionStore, command: str) -> int:
    return sum(
        int(one.get(f"cmdstat_{command}", {"calls": 0})["calls"]) for one in _nodes(store, "info", "commandstats")
    )
