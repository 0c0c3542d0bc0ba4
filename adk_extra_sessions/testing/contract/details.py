"""The contract for names and labels of sessions: an ability that a service may have."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from google.adk.sessions import Session as AdkSession
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError, SessionNotFoundError
from adk_extra_sessions.session import Session
from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, texts

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}

WRONG_DETAILS: list[dict[str, Any]] = [
    {"labels": {"": "a"}},
    {"labels": {"a" * 65: "a"}},
    {"labels": {"a": "a" * 65}},
    {"labels": {"a": 1}},
    {"labels": {"a": None}},
    {"labels": {1: "a"}},
    {"labels": {"a": "\ud800"}},
    {"labels": {str(number): "" for number in range(65)}},
    {"labels": [("a", "b")]},
    {"labels": "a=b"},
    {"display_name": 7},
    {"display_name": b"name"},
    {"display_name": "\ud800"},
]


class DetailsContract(Contract):
    """`display_name`, `labels` and `create_time`; `update_session`, `get_or_create_session` and lists by labels."""

    async def test_a_session_has_what_it_was_created_with(self, session_service: SessionService) -> None:
        labels = {"team": "a", "$x.y": "", "é" * 64: "\U0001f600" * 64}
        before = time.time()
        session = await session_service.create_session(**NAMES, display_name="Carts of é", labels=labels)
        for found in (session, await _found(session_service), await _listed(session_service)):
            assert (found.display_name, found.labels) == ("Carts of é", labels)
            assert before - 1 <= found.create_time <= time.time() + 1
        assert await _found(session_service) == session
        await session_service.append_event(session, an_event())
        assert (await _found(session_service)).labels == labels

    async def test_without_them_it_has_none(self, session_service: SessionService) -> None:
        session = await session_service.create_session(**NAMES)
        for found in (session, await _found(session_service)):
            assert (found.display_name, found.labels, found.expire_time) == (None, {}, None)
        await session_service.delete_session(**NAMES)
        session = await session_service.create_session(**NAMES, display_name=None, labels=None)
        assert (session.display_name, session.labels) == (None, {})

    async def test_only_what_is_given_changes(self, session_service: SessionService) -> None:
        await session_service.create_session(**NAMES, display_name="a", labels={"a": "1"})
        several: list[dict[str, Any]] = [
            {},
            {"display_name": "b"},
            {"labels": {"b": "2"}},
            {"display_name": None},
            {"labels": None},
        ]
        for changes in several:
            before = await _found(session_service)
            wanted: dict[str, Any] = {"display_name": before.display_name, "labels": before.labels, **changes}
            details = await session_service.update_session(**NAMES, **changes)
            found = await _found(session_service)
            assert (details.display_name, details.labels) == (found.display_name, found.labels)
            assert (found.display_name, found.labels) == (wanted["display_name"], wanted["labels"] or {})
            assert (found.last_update_time, found.create_time) == (before.last_update_time, before.create_time)

    async def test_a_holder_may_go_on_writing(self, session_service: SessionService) -> None:
        session = await session_service.create_session(**NAMES)
        await session_service.append_event(session, an_event("before"))
        await session_service.update_session(**NAMES, display_name="new", labels={"a": "b"}, ttl="1h")
        await session_service.append_event(session, an_event("after"))
        found = await _found(session_service)
        assert texts(found) == ["before", "after"] and found.display_name == "new"

    async def test_what_is_missing_cannot_be_changed(self, session_service: SessionService) -> None:
        with pytest.raises(SessionNotFoundError):
            await session_service.update_session(**NAMES, display_name="new")

    async def test_labels_select(self, session_service: SessionService) -> None:
        for number, labels in enumerate([{}, {"team": "a"}, {"team": "b", "kind": "x"}, {"team": "a", "kind": "x"}]):
            await a_session(session_service, session_id=str(number), labels=labels)
        for labels, wanted in (
            ({"team": "a"}, "13"),
            ({"kind": "x", "team": "a"}, "3"),
            ({"kind": ""}, ""),
            ({}, "0123"),
        ):
            query: dict[str, Any] = {"app_name": APP, "user_id": USER, "labels": labels}
            found = await session_service.list_sessions(**query)
            assert "".join(sorted(one.id for one in found.sessions)) == wanted
            assert await session_service.count_sessions(**query) == len(wanted)
            assert sorted([one.id async for one in session_service.iter_sessions(**query)]) == sorted(wanted)
            newest = await session_service.list_sessions(**query, page_size=10, order_by="update_time desc")
            assert sorted(one.id for one in newest.sessions) == sorted(wanted)

    async def test_a_page_is_full_also_where_few_have_the_labels(self, session_service: SessionService) -> None:
        for number in range(120):
            await a_session(session_service, session_id=str(number), labels={"rare": str(number % 40 == 0)})
        page = await session_service.list_sessions(app_name=APP, page_size=3, labels={"rare": "True"})
        assert sorted(one.id for one in page.sessions) == ["0", "40", "80"]

    @pytest.mark.parametrize(
        "wrong", WRONG_DETAILS, ids=lambda wrong: str(wrong)[:40].encode("ascii", "replace").decode()
    )
    async def test_wrong_details_are_refused_before_anything_is_written(
        self, session_service: SessionService, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InputValidationError):
            await session_service.create_session(**NAMES, **wrong)
        with pytest.raises(InputValidationError):
            await session_service.get_or_create_session(**NAMES, **wrong)
        assert await session_service.get_session(**NAMES) is None
        session = await session_service.create_session(**NAMES, display_name="a", labels={"a": "b"})
        with pytest.raises(InputValidationError):
            await session_service.update_session(**NAMES, **{"ttl": "1h", **wrong})
        assert await _found(session_service) == session
        if "labels" in wrong:
            for call in (session_service.list_sessions, session_service.count_sessions):
                with pytest.raises(InputValidationError):
                    await call(app_name=APP, labels=wrong["labels"])

    async def test_get_or_create_creates_once(self, session_service: SessionService) -> None:
        calls = [
            session_service.get_or_create_session(**NAMES, state={"by": number}, labels={"by": str(number)})
            for number in range(12)
        ]
        found = await asyncio.gather(*calls)
        assert len({one.state["by"] for one in found}) == len({one.labels["by"] for one in found}) == 1
        assert await session_service.count_sessions(app_name=APP) == 1
        await session_service.append_event(found[0], an_event("hello"))
        again = await session_service.get_or_create_session(**NAMES, state={"by": "nobody"})
        assert texts(again) == ["hello"] and again.state == found[0].state
        without = await session_service.get_or_create_session(**NAMES, config=GetSessionConfig(num_recent_events=0))
        assert without.events == []

    @pytest.mark.parametrize("blank", ["", " \n"])
    async def test_get_or_create_needs_an_id(self, session_service: SessionService, blank: str) -> None:
        with pytest.raises(InputValidationError):
            await session_service.get_or_create_session(app_name=APP, user_id=USER, session_id=blank)

    async def test_as_json_a_session_without_them_is_adks(self, session_service: SessionService) -> None:
        session = await session_service.create_session(**NAMES, ttl="1h")
        assert AdkSession.model_validate_json(session.model_dump_json()).id == "one"
        assert AdkSession.model_validate(session.model_dump(by_alias=True)).id == "one"
        await session_service.update_session(**NAMES, display_name="Name", labels={"a": "b"})
        written = (await _found(session_service)).model_dump(by_alias=True, mode="json")
        assert (written["displayName"], written["labels"]) == ("Name", {"a": "b"})
        assert type(session).model_validate(written).display_name == "Name"


async def _found(service: SessionService) -> Session:
    found = await service.get_session(**NAMES)
    assert found is not None
    return found


async def _listed(service: SessionService) -> Session:
    (found,) = (await service.list_sessions(app_name=APP, user_id=USER)).sessions
    return found
