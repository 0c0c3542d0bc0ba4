"""Pruning while others write: what no service contract can bring about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.adk.sessions import Session
from support.managed_memory_backend import ManagedMemoryBackend
from support.memory_backend import DictionaryError

from adk_extra_sessions import Pruned, SessionStore
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


class Interrupted(ManagedMemoryBackend):
    """Calls `before_deletion` before each deletion of a session that was judged."""

    def before_deletion(self, key: SessionKey) -> None: ...

    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        self.before_deletion(key)
        return super().delete_unchanged(key, revision)


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with SessionStore(Interrupted()) as store:
        yield store


def sessions(store: SessionStore, count: int) -> list[Session]:
    made = []
    for number in range(count):
        made.append(store.create_session(app_name=APP, user_id=USER, session_id=str(number)))
        store.append_event(made[-1], an_event(at=1000.0 + number))
    return made


def left(store: SessionStore) -> set[str]:
    return {one.id for one in store.iter_sessions(app_name=APP)}


def interrupt(store: SessionStore, action: Any) -> None:
    assert isinstance(store.backend, Interrupted)
    store.backend.before_deletion = action  # type: ignore[method-assign]


@pytest.mark.parametrize("choice", [{"before": 1500.0}, {"before": 1500.0, "user_id": USER}, {"keep_last": 1}], ids=str)
def test_what_is_written_to_after_it_was_judged_stays(store: SessionStore, choice: dict[str, Any]) -> None:
    live = sessions(store, 5)

    def write(key: SessionKey) -> None:
        if key.session_id == "2":
            store.append_event(live[2], an_event("late", at=1002.5))

    interrupt(store, write)
    pruned = store.prune_sessions(app_name=APP, **choice)
    assert pruned.changed == 1
    assert left(store) == {"2", *(["4"] if "keep_last" in choice else [])}


def test_a_drivers_error_names_the_operation(store: SessionStore) -> None:
    sessions(store, 1)

    def fail(_: SessionKey) -> None:
        raise DictionaryError("no connection")

    interrupt(store, fail)
    with pytest.raises(DictionaryError, match=r"^prune_sessions on .*no connection$"):
        store.prune_sessions(app_name=APP, keep_last=0)


def test_what_another_has_deleted_is_not_counted(store: SessionStore) -> None:
    sessions(store, 3)
    interrupt(store, lambda key: store.delete_session(app_name=APP, user_id=USER, session_id=key.session_id))
    assert store.prune_sessions(app_name=APP, keep_last=0) == Pruned(3, 0, 3)
    assert left(store) == set()


def test_a_session_that_is_met_again_counts_once_among_the_newest(store: SessionStore) -> None:
    sessions(store, 3)
    met = store.backend.list

    def again(query: Any) -> Any:
        page = met(query)
        return type(page)([*page.records, *page.records], page.next)

    store.backend.list = again  # type: ignore[method-assign]
    assert store.prune_sessions(app_name=APP, keep_last=3).deleted == 0
    assert store.prune_sessions(app_name=APP, keep_last=2).deleted == 1
    assert left(store) == {"1", "2"}


def test_each_user_keeps_the_newest(store: SessionStore) -> None:
    sessions(store, 3)
    for number in (5, 6, 7):
        store.create_session(app_name=APP, user_id="zoe", session_id=str(number))
    assert store.prune_sessions(app_name=APP, keep_last=2).deleted == 2
    assert left(store) == {"1", "2", "6", "7"}


def test_the_rest_is_looked_at_though_one_user_has_only_new_ones(store: SessionStore) -> None:
    sessions(store, 200)
    old = store.create_session(app_name=APP, user_id="zoe")
    store.append_event(old, an_event(at=500.0))
    assert store.prune_sessions(app_name=APP, before=600.0) == Pruned(201, 1, 0)


def test_what_newer_ones_replace_is_looked_at_to_the_end(store: SessionStore) -> None:
    sessions(store, 220)
    assert store.prune_sessions(app_name=APP, user_id=USER, before=1195.0, keep_last=10).deleted == 195


def test_none_is_missed_whose_time_goes_back_meanwhile(store: SessionStore) -> None:
    live = sessions(store, 201)

    def write(key: SessionKey) -> None:
        if key.session_id == "0":
            store.append_event(live[200], an_event(at=500.0))

    interrupt(store, write)
    assert store.prune_sessions(app_name=APP, user_id=USER, keep_last=0) == Pruned(201, 201, 0)


def test_a_user_without_sessions_has_nothing_to_prune(store: SessionStore) -> None:
    assert store.prune_sessions(app_name=APP, user_id="nobody", before=600.0) == Pruned()


def test_the_oldest_of_one_user_are_read_and_no_more(store: SessionStore) -> None:
    sessions(store, 300)
    pruned = store.prune_sessions(app_name=APP, user_id=USER, before=1010.0)
    assert pruned.deleted == 10 and pruned.examined < 100
