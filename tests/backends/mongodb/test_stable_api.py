"""A client bound to MongoDB's Stable API, strictly: nothing is sent that is not in its version 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.adk.sessions import BaseSessionService
from pymongo.server_api import ServerApi
from support.servers import MongoServer

from adk_extra_sessions import MongoSessionService, MongoSessionStore
from adk_extra_sessions.doctor import Level, examine
from adk_extra_sessions.testing.contract import SessionServiceContract
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts
from adk_extra_sessions.transfer import StorePlace, copy_items, verify_items

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture
def backend() -> str:
    """A real server: the fake knows no versions."""
    return "replicaset"


@pytest.fixture
def strict(server: MongoServer, storage: dict[str, Any]) -> Iterator[MongoSessionStore]:
    api = ServerApi("1", strict=True, deprecation_errors=True)
    with MongoSessionStore(**storage, ttl="1h", server_api=api) as store:
        yield store


class TestStrict(SessionServiceContract):
    """The contract, on such a client."""

    @pytest.fixture
    def session_service(self, strict: MongoSessionStore) -> BaseSessionService:
        return MongoSessionService(store=strict)


def test_what_only_long_histories_need(strict: MongoSessionStore) -> None:
    for _ in range(2):  # the second time it takes the first one's place
        strict.ensure_indexes()
        session = strict.create_session(**NAMES, state={"app:a": 1})
        strict.append_many((session, an_event(str(number), delta={"user:n": number})) for number in range(130))
        strict.append_event(session, an_event("x" * 300_000))
        found = strict.get_session(**NAMES)
        assert found is not None and texts(found) == texts(session)
        strict.delete_session(**NAMES)
        strict.delete_session(**NAMES)
        assert strict.backend.chunks.count_documents({}) == 0


def test_a_ttl_that_changes(strict: MongoSessionStore, storage: dict[str, Any]) -> None:
    session = strict.create_session(**NAMES)
    strict.append_many((session, an_event(str(number))) for number in range(130))
    with MongoSessionStore(**storage, server_api=ServerApi("1", strict=True)) as other:
        other.append_event(session, an_event())
        assert len(texts(other.get_session(**NAMES) or session)) == 131


def test_doctor_and_copies(strict: MongoSessionStore, storage: dict[str, Any]) -> None:
    session = strict.create_session(**NAMES, state={"app:a": 1, "user:b": 2})
    strict.append_many((session, an_event(str(number))) for number in range(130))
    found = list(examine(strict))
    assert not [one for one in found if one.level is Level.PROBLEM]
    assert {one.subject for one in found if one.level is Level.NOTE} <= {"version", "size"}
    api = ServerApi("1", strict=True)
    with MongoSessionStore(**storage, collection_prefix="copy_", server_api=api) as other:
        source, destination = StorePlace(strict), StorePlace(other)
        assert list(source.app_names()) == [APP]
        list(copy_items(source.items([APP], ()), destination))
        assert all(one for one in verify_items(source.items([APP], ()), destination))
        assert texts(other.get_session(**NAMES) or session) == texts(session)
