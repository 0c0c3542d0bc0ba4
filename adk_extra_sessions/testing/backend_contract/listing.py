"""The contract of `list`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
from attrs import evolve

from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.queries import SessionQuery
from adk_extra_sessions.records import SessionKey, SessionRecord
from adk_extra_sessions.testing.backend_contract.samples import append, created, record

APP = "a"


class ListVerb:
    """Pages have each session once and in order, also if others write in between."""

    @pytest.mark.parametrize("size", [1, 3, 7, 100])
    def test_a_users_sessions_by_time(self, session_backend: Backend, size: int) -> None:
        keys = _sessions(session_backend, "u", times=[5.0, 3.0, 3.0, 1.0, 4.0, -1.0, 2.5])
        _sessions(session_backend, "v", times=[2.0])
        ascending = list(listed(session_backend, _by_time("u", size)))
        assert [one.last_update_time for one in ascending] == [-1.0, 1.0, 2.5, 3.0, 3.0, 4.0, 5.0]
        assert sorted(one.key.session_id for one in ascending) == sorted(key.session_id for key in keys)
        descending = list(listed(session_backend, evolve(_by_time("u", size), order="update_time desc")))
        assert [one.last_update_time for one in descending] == [5.0, 4.0, 3.0, 3.0, 2.5, 1.0, -1.0]
        assert {one.key for one in descending} == set(keys)

    @pytest.mark.parametrize("size", [1, 4, 100])
    def test_an_apps_sessions_with_each_users_together(self, session_backend: Backend, size: int) -> None:
        keys = [key for user in ("", "u", "v:1", "*") for key in _sessions(session_backend, user, times=[1.0] * 5)]
        created(session_backend, SessionKey("b", "u", "0"))
        found = list(listed(session_backend, SessionQuery(APP, size=size)))
        assert sorted(map(_names, found)) == sorted((key.user_id, key.session_id) for key in keys)
        users = [one.key.user_id for one in found]
        assert len(list(groupby(users))) == len(set(users))
        (of_nobody,) = {one.key.user_id for one in listed(session_backend, SessionQuery(APP, "", size=size))}
        assert of_nobody == ""

    def test_sessions_have_their_state_unless_it_is_not_wanted(self, session_backend: Backend) -> None:
        new = created(session_backend, SessionKey(APP, "u", "1"), {"own": 1, "user:ours": 2, "app:everyones": 3})
        (found,) = listed(session_backend, SessionQuery(APP, "u"))
        assert (found.state, found.shared.user, found.shared.app) == ({"own": 1}, {"ours": 2}, {"everyones": 3})
        assert not found.bodies
        (bare,) = listed(session_backend, SessionQuery(APP, with_state=False))
        assert (bare.key, bare.revision, bare.last_update_time) == (new.key, new.revision, new.details.create_time)

    @pytest.mark.parametrize("order", ["storage", "update_time", "update_time desc"])
    def test_what_stands_still_is_met_once_while_others_come_and_go(self, session_backend: Backend, order: Any) -> None:
        times = [float(number) for number in range(20)]
        keys = _sessions(session_backend, "u", times=times)
        query = SessionQuery(APP, "u", order=order, size=3)
        met: list[SessionKey] = []
        touched = set()
        for number, page in enumerate(_pages(session_backend, query)):
            met += [one.key for one in page]
            if number < 6:
                touched |= {keys[number], keys[-1 - number]}
                session_backend.delete(keys[number])
                append(session_backend, [record("late", 500.0 + number)], keys[-1 - number])
                created(session_backend, SessionKey(APP, "u", f"new{number}"))
        still = [key for key in keys if key not in touched]
        assert sorted(key.session_id for key in met if key in still) == sorted(key.session_id for key in still)

    def test_a_cursor_is_made_of_values_that_json_can_hold(self, session_backend: Backend) -> None:
        _sessions(session_backend, "é\U0001f600", times=[0.1, 1 / 3, 1e15])
        for order in ("storage", "update_time", "update_time desc"):
            query = SessionQuery(APP, "é\U0001f600", order=order, size=1)
            met = []
            while True:
                page = session_backend.list(query)
                met += [one.key.session_id for one in page.records]
                if page.next is None:
                    break
                assert isinstance(page.next, tuple)
                query = evolve(query, after=tuple(json.loads(json.dumps(page.next))))
            assert sorted(met) == ["0", "1", "2"]

    def test_a_cursor_that_is_made_up_shows_nothing_of_others(self, session_backend: Backend) -> None:
        _sessions(session_backend, "u", times=[1.0])
        _sessions(session_backend, "v", times=[1.0])
        for after in ((), ("",), (0, ""), ("v", "0", 7), (float("inf"),), (float("nan"), 1.5), ("\0", "\U0010ffff")):
            for order in ("storage", "update_time", "update_time desc"):
                query = SessionQuery(APP, "u", order=order, after=after)
                try:
                    found = session_backend.list(query).records
                except InputValidationError:
                    continue
                assert {one.key.user_id for one in found} <= {"u"}

    def test_nothing_is_listed_where_nothing_is(self, session_backend: Backend) -> None:
        assert list(listed(session_backend, SessionQuery(APP))) == []
        assert list(listed(session_backend, _by_time("u", 5))) == []


def _sessions(backend: Backend, user_id: str, times: Sequence[float]) -> list[SessionKey]:
    keys = [SessionKey(APP, user_id, str(number)) for number in range(len(times))]
    for key, time in zip(keys, times, strict=True):
        created(backend, key, create_time=time)
    return keys


def _by_time(user_id: str, size: int) -> SessionQuery:
    return SessionQuery(APP, user_id, order="update_time", size=size)


def _pages(backend: Backend, query: SessionQuery) -> Iterator[Sequence[SessionRecord]]:
    while True:
        page = backend.list(query)
        assert len(page.records) <= query.size
        yield page.records
        if page.next is None:
            return
        query = evolve(query, after=page.next)


def listed(backend: Backend, query: SessionQuery) -> Iterator[SessionRecord]:
    """Yields the sessions of all pages."""
    for page in _pages(backend, query):
        yield from page


def _names(found: SessionRecord) -> tuple[str, str]:
    return found.key.user_id, found.key.session_id
