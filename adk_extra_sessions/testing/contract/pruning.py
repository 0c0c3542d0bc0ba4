"""The contract for deleting sessions by age or number: an ability that a service may have."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.pruning import Pruned
from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, stored

WRONG: list[dict[str, Any]] = [
    {},
    {"before": "yesterday"},
    {"before": "30"},
    {"before": "2020-01-01"},
    {"before": ""},
    {"before": [1]},
    {"before": True},
    {"before": float("nan")},
    {"before": datetime(2020, 1, 1)},
    {"keep_last": -1},
    {"keep_last": 1.5},
    {"keep_last": True},
    {"before": "1d", "labels": {"": ""}},
    {"before": "1d", "user_id": 7},
    {"labels": {}},
]


class PruningContract(Contract):
    """`prune_sessions`."""

    @pytest.mark.parametrize(
        ("choice", "gone"),
        [
            ({"before": 1003.0}, ["u0", "u1", "u2", "v0", "v1", "v2"]),
            ({"before": datetime.fromtimestamp(1003, timezone.utc)}, ["u0", "u1", "u2", "v0", "v1", "v2"]),
            ({"before": datetime.fromtimestamp(1003, timezone.utc).isoformat()}, ["u0", "u1", "u2", "v0", "v1", "v2"]),
            ({"before": 1001.0, "user_id": "v"}, ["v0"]),
            ({"before": "1d"}, [f"{user}{number}" for user in "uv" for number in range(5)]),
            ({"before": timedelta(days=365 * 90)}, []),
            ({"keep_last": 3}, ["u0", "u1", "v0", "v1"]),
            ({"keep_last": 3, "before": 1001.0}, ["u0", "v0"]),
            ({"keep_last": 0, "user_id": "u"}, ["u0", "u1", "u2", "u3", "u4"]),
            ({"keep_last": 9}, []),
            ({"labels": {"even": "True"}}, ["u0", "u2", "u4", "v0", "v2", "v4"]),
            ({"labels": {"even": "True"}, "keep_last": 1}, ["u0", "u2", "v0", "v2"]),
            ({"labels": {"even": "False"}, "before": 1002.0}, ["u1", "v1"]),
        ],
        ids=str,
    )
    async def test_what_goes(self, session_service: SessionService, choice: dict[str, Any], gone: list[str]) -> None:
        made = await _sessions(session_service)
        dry = await session_service.prune_sessions(app_name=APP, **choice, dry_run=True)
        assert dry.deleted == len(gone) and await session_service.count_sessions(app_name=APP) == len(made)
        reports: list[Pruned] = []
        pruned = await session_service.prune_sessions(app_name=APP, **choice, progress=reports.append)
        assert (pruned.deleted, pruned.changed) == (len(gone), 0)
        assert reports == [] or reports[-1] == pruned
        assert await _names(session_service) == sorted(set(made) - set(gone))
        assert (await session_service.prune_sessions(app_name=APP, **choice)).deleted == 0
        assert await session_service.get_user_state(app_name=APP, user_id="u") == {"kept": 1}

    async def test_several_may_prune_at_once(self, session_service: SessionService) -> None:
        await _sessions(session_service, count=30)
        pruned = await asyncio.gather(*[session_service.prune_sessions(app_name=APP, keep_last=2) for _ in range(4)])
        assert sum(one.deleted for one in pruned) == 56
        assert await _names(session_service) == ["u28", "u29", "v28", "v29"]

    async def test_what_the_callback_raises_ends_it(self, session_service: SessionService) -> None:
        await _sessions(session_service)

        def stop(_: Pruned) -> None:
            raise KeyError("stop")

        with pytest.raises(KeyError):
            await session_service.prune_sessions(app_name=APP, keep_last=0, progress=stop)

    @pytest.mark.parametrize("wrong", WRONG, ids=str)
    async def test_wrong_choices_are_refused(self, session_service: SessionService, wrong: dict[str, Any]) -> None:
        made = await _sessions(session_service)
        with pytest.raises(InputValidationError):
            await session_service.prune_sessions(**{"app_name": APP, **wrong})
        assert await _names(session_service) == sorted(made)

    async def test_the_time_is_that_of_the_last_update(self, session_service: SessionService) -> None:
        old = await a_session(session_service, session_id="old")
        await session_service.append_event(old, an_event(at=time.time() - 40 * 86400))
        new = await a_session(session_service, session_id="new")
        assert (await session_service.prune_sessions(app_name=APP, user_id=USER, before="30d")).deleted == 1
        await stored(session_service, new)


async def _sessions(service: SessionService, count: int = 5, users: str = "uv") -> list[str]:
    """Creates sessions of users; returns `user + id` of each, the oldest first."""
    for user_id in users:
        for number in sorted(range(count), key=lambda number: (number * 7) % count):
            named = {"user_id": user_id, "session_id": str(number), "labels": {"even": str(number % 2 == 0)}}
            session = await a_session(service, **named, state={"user:kept": 1})
            await service.append_event(session, an_event(at=1000.0 + number))
    return [f"{user_id}{number}" for user_id in users for number in range(count)]


async def _names(service: SessionService) -> list[str]:
    return sorted([f"{one.user_id}{one.id}" async for one in service.iter_sessions(app_name=APP)])
