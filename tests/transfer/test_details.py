"""Names, labels, times and expiry of sessions that are copied, exported and imported."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.adk.sessions import InMemorySessionService
from support.managed_memory_backend import ManagedMemoryBackend
from support.memory_backend import MemoryBackend

from adk_extra_sessions import Session, SessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event
from adk_extra_sessions.transfer import (
    Outcome,
    StorePlace,
    copy_items,
    open_place,
    plan_items,
    read_items,
    verify_items,
    write_items,
)

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}

DETAILS: list[dict[str, Any]] = [
    {},
    {"display_name": "Ada's é cart", "labels": {"team": "a", "$x.y": ""}},
    {"ttl": "1h"},
    {"ttl": None},
    {"expire_time": "2100-01-01T00:00:00Z", "labels": {"a": "b"}},
]


@pytest.fixture
def other() -> Iterator[SessionStore]:
    with SessionStore(ManagedMemoryBackend(ttl_ms=60_000)) as store:
        yield store


def created(store: SessionStore, details: dict[str, Any]) -> Session:
    session = store.create_session(**NAMES, **details)
    store.append_event(session, an_event(at=1e9))
    return found(store)


def found(store: SessionStore) -> Session:
    session = store.get_session(**NAMES)
    assert session is not None
    return session


def own(session: Session) -> Any:
    kept = (session.display_name, session.labels, session.create_time, session.last_update_time)
    return (*kept, session._lifetime)


@pytest.mark.parametrize("details", DETAILS, ids=str)
def test_a_copy_keeps_them(store: SessionStore, other: SessionStore, details: dict[str, Any]) -> None:
    session = created(store, details)
    source, destination = StorePlace(store), StorePlace(other)
    assert next(result.outcome for result in copy_items(source.items(), destination)) is Outcome.CREATED
    assert own(found(other)) == own(session)
    assert not [result.problems for result in verify_items(source.items(), destination) if result.problems]
    assert next(result.outcome for result in copy_items(source.items(), destination)) is Outcome.SAME


@pytest.mark.parametrize("details", DETAILS, ids=str)
def test_a_file_keeps_them(store: SessionStore, other: SessionStore, details: dict[str, Any]) -> None:
    session = created(store, details)
    file = io.BytesIO()
    list(write_items(StorePlace(store).items(), file))
    file.seek(0)
    list(copy_items(read_items(file), StorePlace(other)))
    assert own(found(other)) == own(session)


def test_the_ttl_of_a_store_is_in_no_file(make_store: Callable[..., SessionStore], other: SessionStore) -> None:
    store = make_store(ttl="1h")
    session = created(store, {})
    assert session.expire_time is not None
    file = io.BytesIO()
    list(write_items(StorePlace(store).items(), file))
    file.seek(0)
    list(copy_items(read_items(file), StorePlace(other)))
    assert own(found(other)) == own(session)


def changed_file(store: SessionStore, pattern: bytes, new: bytes) -> io.BytesIO:
    """Exports a store, and changes the lines of sessions."""
    file = io.BytesIO()
    list(write_items(StorePlace(store).items(), file))
    changed, count = re.subn(pattern, new, file.getvalue())
    assert count == 1
    return io.BytesIO(changed)


def test_a_session_that_has_expired_by_now_is_not_imported(store: SessionStore, other: SessionStore) -> None:
    created(store, {"expire_time": "2100-01-01T00:00:00Z"})
    file = changed_file(store, rb'"expire_time":[0-9.]+', b'"expire_time":1.0')
    result = next(copy_items(read_items(file), StorePlace(other)))
    assert result.outcome is Outcome.FAILED and "has expired" in result.problems[0]
    assert other.get_session(**NAMES) is None


def test_a_session_whose_creation_nobody_knows_was_created_at_its_last_update(
    store: SessionStore, other: SessionStore
) -> None:
    created(store, {"display_name": "Ada"})
    file = changed_file(store, rb',"create_time":[0-9.]+', b"")
    assert next(copy_items(read_items(file), StorePlace(other))).outcome is Outcome.CREATED
    assert found(other).create_time == 1e9


def test_a_store_that_keeps_none_gets_the_rest(store: SessionStore) -> None:
    created(store, {"labels": {"a": "b"}})
    with SessionStore(MemoryBackend()) as plain:
        for outcome in (Outcome.CREATED, Outcome.SAME):
            assert next(copy_items(StorePlace(store).items(), StorePlace(plain))).outcome is outcome


@pytest.mark.parametrize("wrong", ['"labels": 7', '"labels": {"": ""}', '"display_name": 7', '"ttl": "x"'])
def test_a_file_with_wrong_ones_is_damaged(store: SessionStore, other: SessionStore, wrong: str) -> None:
    created(store, {})
    file = io.BytesIO()
    list(write_items(StorePlace(store).items(), file))
    damaged = io.BytesIO(file.getvalue().replace(b'"state":{}', f'"state":{{}},{wrong}'.encode(), 1))
    with pytest.raises(ValueError, match="Line 2 of the file cannot be read"):
        list(read_items(damaged))


@pytest.mark.parametrize("details", DETAILS[1:], ids=str)
def test_a_change_since_is_copied_again(store: SessionStore, other: SessionStore, details: dict[str, Any]) -> None:
    created(store, {})
    source, destination = StorePlace(store), StorePlace(other)
    list(copy_items(source.items(), destination))
    store.update_session(**NAMES, **details)
    assert any(result.problems for result in verify_items(source.items(), destination))
    assert next(result.outcome for result in plan_items(source.items(), destination)) is Outcome.CONTINUED
    assert next(result.outcome for result in copy_items(source.items(), destination)) is Outcome.CONTINUED
    assert own(found(other)) == own(found(store))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (b'"create_time":5.0', "create_time is .* instead of 5.0"),
        (b'"parent_session_id":"p"', "parent_session_id differs"),
        (b'"root_session_id":"r"', "root_session_id differs"),
    ],
    ids=["created", "parent", "root"],
)
def test_verifying_tells_another_origin(store: SessionStore, changed: bytes, problem: str) -> None:
    created(store, {})
    file = changed_file(store, rb'"create_time":[0-9.]+', changed)
    (said,) = next(verify_items(read_items(file), StorePlace(store))).problems
    assert re.match(problem, said)


def test_verifying_tells_what_adks_services_cannot_keep(store: SessionStore) -> None:
    global service
    service = InMemorySessionService()
    created(store, {"labels": {"a": "b"}, "ttl": "1h"})
    with open_place(f"{__name__}:service") as destination:
        list(copy_items(StorePlace(store).items(), destination))
        problems = [
            problem for result in verify_items(StorePlace(store).items(), destination) for problem in result.problems
        ]
        assert problems == ["labels differ", "its own expiry differs"]


service: InMemorySessionService
