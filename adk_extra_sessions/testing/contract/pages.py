"""The contract for pages of sessions and for counting them: an ability that a service may have."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from hashlib import blake2b
from typing import Any

import pytest

from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.session import Session
from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event

ORDERS = [None, "update_time", "update_time asc", "update_time desc"]


class PagesContract(Contract):
    """`list_sessions` in pages, `iter_sessions` and `count_sessions`."""

    @pytest.mark.parametrize("page_size", [1, 3, 12, 50])
    @pytest.mark.parametrize("order_by", ORDERS)
    async def test_pages_have_each_session_once(
        self, session_service: SessionService, page_size: int, order_by: str | None
    ) -> None:
        made = await _sessions(session_service, 12)
        met = [one async for one in _pages(session_service, user_id=USER, page_size=page_size, order_by=order_by)]
        if order_by is None:
            met.sort(key=lambda one: one.last_update_time)
        wanted = made[::-1] if order_by == "update_time desc" else made
        assert [one.id for one in met] == wanted
        assert all(one.state == {"number": int(one.id)} and one.events == [] for one in met)

    async def test_pages_of_all_users(self, session_service: SessionService) -> None:
        for user_id in ("", "a", "b:c"):
            await _sessions(session_service, 4, user_id=user_id)
        await a_session(session_service, app_name="other")
        met = [(one.user_id, one.id) async for one in _pages(session_service, page_size=5)]
        assert sorted(met) == sorted((user_id, str(number)) for user_id in ("", "a", "b:c") for number in range(4))

    async def test_the_last_page_says_so(self, session_service: SessionService) -> None:
        await _sessions(session_service, 3)
        page = await session_service.list_sessions(app_name=APP, user_id=USER, page_size=5)
        assert len(page.sessions) == 3 and page.next_page_token is None
        whole = await session_service.list_sessions(app_name=APP, user_id=USER)
        assert len(whole.sessions) == 3 and whole.next_page_token is None
        empty = await session_service.list_sessions(app_name=APP, user_id="nobody", page_size=5)
        assert empty.sessions == [] and empty.next_page_token is None

    @pytest.mark.parametrize("order_by", ORDERS)
    async def test_without_pages_all_come_in_order(self, session_service: SessionService, order_by: str | None) -> None:
        made = await _sessions(session_service, 5)
        found = await session_service.list_sessions(app_name=APP, user_id=USER, order_by=order_by)
        assert [one.id for one in found.sessions] == (made[::-1] if order_by == "update_time desc" else made)

    @pytest.mark.parametrize("order_by", ORDERS)
    async def test_what_stands_still_is_on_one_page_while_others_move(
        self, session_service: SessionService, order_by: str | None
    ) -> None:
        made = await _sessions(session_service, 20)
        moving = set(made[::3])
        live = [await _loaded(session_service, name) for name in sorted(moving)]
        met: list[str] = []
        async for one in _pages(session_service, user_id=USER, page_size=3, order_by=order_by):
            met.append(one.id)
            if len(met) % 3 == 0 and live:
                await session_service.append_event(live.pop(0), an_event(at=5000.0 + len(met)))
        still = [name for name in met if name not in moving]
        assert sorted(still) == sorted(set(made) - moving)

    @pytest.mark.parametrize("apart", [1.0, 0.0], ids=["different times", "one time"])
    @pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "moved"])
    @pytest.mark.parametrize("order_by", ORDERS)
    async def test_a_page_begins_where_the_last_one_ended_whatever_became_of_its_last_session(
        self, session_service: SessionService, order_by: str | None, deleted: bool, apart: float
    ) -> None:
        for number, name in enumerate("abcdef"):
            session = await a_session(session_service, session_id=name)
            await session_service.append_event(session, an_event(at=1000.0 + number * apart))
        query: dict[str, Any] = {"app_name": APP, "user_id": USER, "order_by": order_by}
        page = await session_service.list_sessions(**query, page_size=2)
        first, last = (one.id for one in page.sessions)
        if deleted:
            await session_service.delete_session(app_name=APP, user_id=USER, session_id=last)
        else:
            await session_service.append_event(await _loaded(session_service, last), an_event(at=5000.0))
        rest = await session_service.list_sessions(**query, page_size=9, page_token=page.next_page_token)
        assert sorted(one.id for one in rest.sessions if one.id != last) == sorted(set("abcdef") - {first, last})

    async def test_iterating_meets_all(self, session_service: SessionService) -> None:
        made = await _sessions(session_service, 7)
        for page_size in (1, 3, 100):
            found = [one.id async for one in session_service.iter_sessions(app_name=APP, page_size=page_size)]
            assert sorted(found) == sorted(made)

    @pytest.mark.parametrize("user_id", [USER, None])
    async def test_each_comes_once_though_the_caller_appends_to_it(
        self, session_service: SessionService, user_id: str | None
    ) -> None:
        users = [USER, "other"] if user_id is None else [USER]
        made = [(user, name) for user in users for name in await _sessions(session_service, 5, user_id=user)]
        met: list[tuple[str, str]] = []
        async for one in session_service.iter_sessions(app_name=APP, user_id=user_id, page_size=2):
            met.append((one.user_id, one.id))
            assert len(met) <= len(made), "it does not end"
            await session_service.append_event(one, an_event(at=5000.0 + len(met)))
        assert sorted(met) == sorted(made)

    async def test_sessions_are_counted(self, session_service: SessionService) -> None:
        assert await session_service.count_sessions(app_name=APP) == 0
        await _sessions(session_service, 3)
        await _sessions(session_service, 2, user_id="")
        counts = [await session_service.count_sessions(app_name=APP, user_id=user) for user in (None, USER, "", "x")]
        assert counts == [5, 3, 2, 0]

    @pytest.mark.parametrize(
        "other",
        [
            {"user_id": "other"},
            {"app_name": "other"},
            {"order_by": "update_time"},
            {"order_by": None},
            {"labels": {"a": "b"}},
            {"user_id": None, "order_by": None},
        ],
        ids=str,
    )
    async def test_a_token_of_another_query_is_refused(
        self, session_service: SessionService, other: dict[str, Any]
    ) -> None:
        await _sessions(session_service, 3)
        query: dict[str, Any] = {"app_name": APP, "user_id": USER, "order_by": "update_time desc"}
        page = await session_service.list_sessions(**query, page_size=1)
        assert page.next_page_token is not None
        with pytest.raises(InputValidationError, match="another query"):
            await session_service.list_sessions(**{**query, **other}, page_size=1, page_token=page.next_page_token)
        following = await session_service.list_sessions(**query, page_size=2, page_token=page.next_page_token)
        assert [one.id for one in following.sessions] == ["1", "0"], "the size may change"

    async def test_labels_may_have_another_order_on_the_next_page(self, session_service: SessionService) -> None:
        labels = {"a": "1", "b": "2"}
        for name in "xy":
            await session_service.create_session(app_name=APP, user_id=USER, session_id=name, labels=labels)
        query: dict[str, Any] = {"app_name": APP, "user_id": USER, "page_size": 1}
        first = await session_service.list_sessions(**query, labels=labels)
        other_order = dict(reversed(labels.items()))
        second = await session_service.list_sessions(**query, labels=other_order, page_token=first.next_page_token)
        assert {one.id for page in (first, second) for one in page.sessions} == {"x", "y"}

    async def test_a_token_that_is_none_is_refused(self, session_service: SessionService) -> None:
        await _sessions(session_service, 3)
        page = await session_service.list_sessions(app_name=APP, user_id=USER, page_size=1)
        token = page.next_page_token
        assert token is not None
        changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(0, len(token), 5)]
        invented = [_with_checksum(body) for body in (b"7", b"null", b"{}", b"[]", b"[" * 100_000, b"\xff")]
        for wrong in ("", "x", "é", "AAAA", token[:-4], token + "AAAA", 7, b"x", *changed, *invented):
            with pytest.raises(InputValidationError, match="page_token"):
                await session_service.list_sessions(
                    app_name=APP,
                    user_id=USER,
                    page_size=1,
                    page_token=wrong,  # type: ignore[arg-type]
                )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"page_size": 0},
            {"page_size": -1},
            {"page_size": True},
            {"page_size": 1.5},
            {"page_size": "3"},
            {"page_token": "x"},
            {"order_by": "create_time"},
            {"order_by": "storage"},
            {"order_by": 1},
            {"order_by": "update_time", "user_id": None},
            {"user_id": 7},
            {"app_name": None},
        ],
        ids=str,
    )
    async def test_wrong_arguments_are_refused(self, session_service: SessionService, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputValidationError):
            await session_service.list_sessions(**{"app_name": APP, "user_id": USER, **wrong})


def _with_checksum(body: bytes) -> str:
    return urlsafe_b64encode(blake2b(body, digest_size=6).digest() + body).decode()


async def _sessions(service: SessionService, count: int, user_id: str = USER) -> list[str]:
    """Creates sessions, the oldest first by time of update, but not in this order."""
    names = [str(number) for number in range(count)]
    for name in sorted(names, key=lambda name: (int(name) * 7) % count):
        session = await service.create_session(app_name=APP, user_id=user_id, session_id=name)
        await service.append_event(session, an_event(at=1000.0 + int(name), delta={"number": int(name)}))
    return names


async def _loaded(service: SessionService, session_id: str) -> Session:
    found = await service.get_session(app_name=APP, user_id=USER, session_id=session_id)
    assert found is not None
    return found


async def _pages(service: SessionService, **query: Any) -> AsyncIterator[Session]:
    token = None
    while True:
        page = await service.list_sessions(**{"app_name": APP, **query}, page_token=token)
        assert len(page.sessions) <= query["page_size"]
        for one in page.sessions:
            yield one
        token = page.next_page_token
        if token is None:
            return
        assert len(page.sessions) == query["page_size"], "only the last page is short"
