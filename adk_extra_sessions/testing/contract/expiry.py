"""The contract for the expiry of single sessions: an ability that a service may have."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError, SessionNotFoundError
from adk_extra_sessions.session import Session
from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}

LATER = datetime(2100, 1, 1, tzinfo=timezone.utc)

LATEST = LATER + timedelta(hours=1)

SOON = (0.3, 3.0, 30.0)
"""Seconds in which a session expires: if a busy machine takes longer for the next call, the next of them."""


class ExpiryContract(Contract):
    """`ttl` and `expire_time` of `create_session` and `update_session`, on a service that has no ttl of its own."""

    @pytest.mark.parametrize("ttl", [3600, "3600s", "1h", timedelta(hours=1)], ids=str)
    async def test_a_ttl_counts_from_the_last_write(self, session_service: SessionService, ttl: Any) -> None:
        start = time.time()
        session = await session_service.create_session(**NAMES, ttl=ttl)
        first = (await _found(session_service)).expire_time
        await session_service.append_event(session, an_event())
        second = (await _found(session_service)).expire_time
        assert session.expire_time and first and second
        assert all(abs(moment - start - 3600) < 60 for moment in (session.expire_time, first, second))
        assert first <= second

    @pytest.mark.parametrize(
        "expire_time",
        [LATER, LATER.timestamp(), "2100-01-01T00:00:00Z", "2100-01-01T02:00:00+02:00"],
        ids=["datetime", "seconds", "Z", "offset"],
    )
    async def test_a_moment_stays(self, session_service: SessionService, expire_time: Any) -> None:
        session = await session_service.create_session(**NAMES, expire_time=expire_time)
        await session_service.append_event(session, an_event())
        for found in (session, await _found(session_service)):
            assert found.expire_time == LATER.timestamp()

    async def test_a_change_counts_from_now_and_none_lets_it_stay(self, session_service: SessionService) -> None:
        session = await session_service.create_session(**NAMES)
        several: list[dict[str, Any]] = [
            {"ttl": "1h"},
            {"expire_time": LATER},
            {"ttl": None},
            {"ttl": 7200},
            {"expire_time": None},
        ]
        for changes in several:
            details = await session_service.update_session(**NAMES, **changes)
            found = await _found(session_service)
            if None in changes.values():
                assert details.expire_time is found.expire_time is None
            else:
                assert found.expire_time and details.expire_time and found.expire_time > time.time()
                assert abs(details.expire_time - found.expire_time) < 1
            await session_service.append_event(session, an_event())
            after = await _found(session_service)
            assert (after.expire_time is None) == (found.expire_time is None)
        named = await session_service.update_session(**NAMES, display_name="Name")
        assert named.expire_time is None

    @pytest.mark.parametrize(
        ("before", "after", "seconds"),
        [({"ttl": 3600}, {"ttl": 4000}, 4000), ({"expire_time": LATER}, {"expire_time": LATEST}, None)],
        ids=["ttl", "expire_time"],
    )
    async def test_a_change_counts_for_those_who_loaded_the_session_before_it(
        self, session_service: SessionService, before: Any, after: Any, seconds: int | None
    ) -> None:
        session = await session_service.create_session(**NAMES, **before)
        await session_service.update_session(**NAMES, **after)
        await session_service.append_event(session, an_event())
        expected = LATEST.timestamp() if seconds is None else time.time() + seconds
        assert abs(((await _found(session_service)).expire_time or 0) - expected) < 60

    @pytest.mark.parametrize("kind", ["ttl", "expire_time"])
    async def test_when_it_has_expired_it_is_missing(self, session_service: SessionService, kind: str) -> None:
        session, seconds = await _that_expires_soon(session_service, kind)
        kept = await a_session(session_service, session_id="kept")
        await asyncio.sleep(seconds + 0.1)
        assert await session_service.get_session(**NAMES) is None
        assert [one.id for one in (await session_service.list_sessions(app_name=APP)).sessions] == ["kept"]
        with pytest.raises(SessionNotFoundError):
            await session_service.append_event(session, an_event())
        with pytest.raises(SessionNotFoundError):
            await session_service.update_session(**NAMES, ttl=None)
        again = await session_service.get_or_create_session(**NAMES)
        assert again.state == {"user:ours": 1}
        await session_service.append_event(kept, an_event())

    async def test_a_session_that_may_stay_outlives_its_ttl(self, session_service: SessionService) -> None:
        for seconds in SOON:
            start = time.monotonic()
            session = await session_service.create_session(**NAMES, ttl=seconds)
            try:
                await session_service.update_session(**NAMES, ttl=None)
                break
            except SessionNotFoundError:
                assert time.monotonic() - start > seconds / 2, "it expired too early"
        await asyncio.sleep(seconds + 0.1)
        await session_service.append_event(session, an_event())

    @pytest.mark.parametrize(
        "wrong",
        [
            {"ttl": 0},
            {"ttl": -1},
            {"ttl": "soon"},
            {"ttl": [1]},
            {"ttl": True},
            {"ttl": float("nan")},
            {"expire_time": 0},
            {"expire_time": datetime(2100, 1, 1)},
            {"expire_time": datetime(2000, 1, 1, tzinfo=timezone.utc)},
            {"expire_time": "tomorrow"},
            {"expire_time": "2100-01-01T00:00:00"},
            {"expire_time": 1e20},
            {"expire_time": float("inf")},
            {"expire_time": True},
            {"ttl": 60, "expire_time": LATER},
        ],
        ids=str,
    )
    async def test_wrong_times_are_refused_before_anything_is_written(
        self, session_service: SessionService, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InputValidationError):
            await session_service.create_session(**NAMES, **wrong)
        assert await session_service.get_session(**NAMES) is None
        session = await session_service.create_session(**NAMES)
        with pytest.raises(InputValidationError):
            await session_service.update_session(**NAMES, **wrong, display_name="new")
        assert await _found(session_service) == session


async def _that_expires_soon(service: SessionService, kind: str) -> tuple[Session, float]:
    """Creates a session, and returns it with the seconds after which it has expired."""
    for seconds in SOON:
        moment = time.time() + seconds
        soon: dict[str, Any] = {"ttl": seconds} if kind == "ttl" else {"expire_time": moment}
        try:
            return await service.create_session(**NAMES, **soon, state={"own": 1, "user:ours": 1}), seconds
        except InputValidationError:
            assert time.time() >= moment, "it is not in the past"
    raise AssertionError(f"no call was made within {seconds} seconds")


async def _found(service: SessionService) -> Session:
    found = await service.get_session(**NAMES)
    assert found is not None
    return found
