"""Whole lists while sessions move: what no service contract can bring about."""

from __future__ import annotations

from typing import Any

from support.managed_memory_backend import ManagedMemoryBackend

from adk_extra_sessions import SessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


def test_a_session_that_moves_while_a_list_is_read_is_in_it_once() -> None:
    with SessionStore(ManagedMemoryBackend()) as store:
        live = [store.create_session(app_name=APP, user_id=user, session_id="1") for user in (USER, "other")]
        read = store.backend.list

        def moved(query: Any) -> Any:
            page = read(query)
            store.append_event(live[0], an_event(at=5e9, delta={"new": True}))
            return type(page)([*page.records, *read(query).records], page.next)

        store.backend.list = moved  # type: ignore[method-assign]
        listed = store.list_sessions(app_name=APP).sessions
    assert [(one.user_id, one.id, one.state) for one in listed] == [("other", "1", {}), (USER, "1", {"new": True})]
