"""Sessions that expire between being read and being appended to: whole or gone, never half."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions import RedisSessionStore, SessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.testing.contract.samples import APP, a_session, an_event, texts

TTL = 0.2
"""Seconds."""

ROUNDED = 0.002
"""Seconds by which a session may expire early or late, as servers count milliseconds."""

LIVES = 2
"""How often each session expires."""

HISTORY = [str(number) for number in range(110)]
"""What a session begins with; on MongoDB some of it is in a chunk."""


def live_and_expire(store: SessionStore, user: str, chance: random.Random) -> None:
    """Creates a session and appends to it, each time about when it expires, until it does."""
    names: dict[str, Any] = {"app_name": APP, "user_id": user, "session_id": "one"}
    session = store.create_session(**names)
    assert session.state == {} and texts(session) == []
    expected = list(HISTORY)
    began = time.monotonic()
    outcomes = store.append_many((session, an_event(text)) for text in HISTORY)
    while not isinstance(outcomes[-1], SessionNotFoundError):
        written = time.monotonic()
        time.sleep(TTL * 0.9)
        read = store.get_session(**names)
        if read is not None:
            assert texts(read) == expected
        time.sleep(chance.random() * TTL * 0.2)
        writing = time.monotonic()
        outcomes = store.append_many([(read or session, an_event("more", delta={"key": 1}))])
        if writing - written > TTL + ROUNDED:
            assert isinstance(outcomes[0], SessionNotFoundError)
        if time.monotonic() - began < TTL - ROUNDED:
            assert isinstance(outcomes[0], Event)
        began = writing
        session = read or session
        expected.append("more")
    assert store.get_session(**names) is None


def test_an_expiring_session_is_whole_or_gone(make_store: Callable[..., SessionStore]) -> None:
    store = make_store(ttl=TTL)

    def lives(number: int) -> None:
        for life in range(LIVES):
            live_and_expire(store, str(number), random.Random(LIVES * number + life))

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lives, range(6))) == [None] * 6
    assert store.list_sessions(app_name=APP).sessions == []
    if isinstance(store, RedisSessionStore):
        assert list(store.client.scan_iter(match=f"{store.prefix}:*/*", count=10_000)) == []


@pytest.mark.anyio
async def test_expired_sessions_in_a_batch_are_their_holders_matter(
    make_service: Callable[..., SessionService],
) -> None:
    ttl = TTL / 2

    async def sessions(count: int) -> list[Session]:
        return await asyncio.gather(*(a_session(service) for _ in range(count)))

    while True:
        ttl *= 2
        service = make_service(ttl=ttl)
        expired = await sessions(8)
        await asyncio.sleep(ttl + ROUNDED)
        began = time.monotonic()
        living = await sessions(8)
        mixed = [session for pair in zip(expired, living, strict=True) for session in pair]
        appends = [service.append_event(one, an_event(delta={f"user:{one.id}": 1})) for one in mixed]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert all(isinstance(outcome, SessionNotFoundError) for outcome in outcomes[::2])
        if time.monotonic() - began < ttl - ROUNDED:  # else the machine was too slow to tell
            break
    assert all(isinstance(outcome, Event) for outcome in outcomes[1::2])
    state = await service.get_user_state(app_name=APP, user_id="user")
    assert not {one.id for one in expired} & set(state)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
