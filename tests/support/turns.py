"""What tests of turns share: the session, and threads that do not get the turn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adk_extra_sessions import (
    SessionBusyError,
    SessionStore,
)
from adk_extra_sessions.records import SessionKey

NAMES = {"app_name": "shop", "user_id": "ada", "session_id": "s1"}


KEY = SessionKey(**NAMES)


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
