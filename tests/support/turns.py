"""What tests of turns share: the session, and threads that do not get the turn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.servers import wait_until

from adk_extra_sessions import (
    SessionBusyError,
    SessionStore,
)
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns.queue import TurnQueue

NAMES = {"app_name": "shop", "user_id": "ada", "session_id": "s1"}


KEY = SessionKey(**NAMES)


def queue_of(store: SessionStore) -> TurnQueue:
    """Returns who has the turn, and who waits for it."""
    return TurnQueue.loads(store.turns.read(KEY)[0])


def wait_for_renewals(store: SessionStore, count: int) -> None:
    """Waits until a turn, held all the time, has been renewed so often."""
    first = queue_of(store)
    times = {first.renewed}

    def is_renewed() -> bool:
        now = queue_of(store)
        assert now.holder == first.holder is not None
        times.add(now.renewed)
        return len(times) > count

    wait_until(is_renewed, "the turn is not renewed")


def elsewhere(call: Callable[[], Any]) -> Any:
    """Makes a call in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def refused_elsewhere(store: SessionStore) -> SessionBusyError:
    """Returns why another thread does not get a turn that this thread holds."""
    with store.turn(**NAMES):
        return refused(store, wait=0)


def refused(store: SessionStore, wait: Any) -> SessionBusyError:
    """Returns why another thread does not get the turn."""

    def enter() -> None:
        with store.turn(**NAMES, wait=wait):
            pass

    with pytest.raises(SessionBusyError) as caught:
        elsewhere(enter)
    return caught.value
