"""What a backend cannot do is refused by name, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.memory_backend import MemoryBackend

from adk_extra_sessions import ConfigurationError, SessionStore
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.testing.contract.samples import APP, USER

USERS: dict[str, Any] = {"app_name": APP, "user_id": USER}
ONE = {**USERS, "session_id": "one"}

CALLS: dict[str, Callable[[SessionStore], object]] = {
    "create": lambda store: store.create_session(**USERS, labels={"a": "b"}),
    "update": lambda store: store.update_session(**ONE, display_name="new"),
    "list": lambda store: store.list_sessions(app_name=APP, labels={"a": "b"}),
    "count": lambda store: store.count_sessions(app_name=APP),
    "prune": lambda store: store.prune_sessions(app_name=APP, before=1.0),
    "erase a user": lambda store: store.delete_user(**USERS),
    "erase an app": lambda store: store.delete_app(app_name=APP),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_needs_more_says_so(call: Callable[[SessionStore], object]) -> None:
    with SessionStore(MemoryBackend()) as store:
        store.create_session(**ONE)
        with pytest.raises(ConfigurationError, match="MemoryBackend"):
            call(store)


@pytest.mark.parametrize("options", [{"history": "compacted"}, {"cache": "1MB"}], ids=str)
def test_an_option_that_needs_more_says_so(options: dict[str, Any]) -> None:
    bare = type("BareBackend", (Backend,), {**vars(MemoryBackend)})
    with pytest.raises(ConfigurationError, match="BareBackend"):
        SessionStore(bare(), StoreOptions(**options))
