"""The contract of `list` and `count`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
from attrs import evolve

from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.queries import SessionQuery
from adk_extra_sessions.records import SessionKey, SessionRecord
from adk_extra_sessions.testing.backend_contract.samples import append, created, record

APP = "a"


class ListVerbs:
    """Pages have each session once, in order, whatever happens in between."""

    @pytest.mark.parametrize("size", [1, 3, 7, 100])
    def test_a_users_sessions_by_time(self, session_backend: Managed, size: int) -> None:
        keys = _sessions(session_backend, "u", times=[5.0, 3.0, 3.0, 1.0, 4.0, -1.0, 2.5])
        _sessions(session_backend, "v", times=[2.0])
        ascending = list(_all(session_backend, _by_time("u", size)))
        assert [one.last_update_time for one in ascending] == [-1.0, 1.0, 2.5, 3.0, 3.0, 4.0, 5.0]
        assert sorted(one.key.session_id for one in ascending) == sorted(key.session_id for key in keys)
        descending = list(_all(session_backend, evolve(_by_time("u", size), order="update_time desc")))
        assert [one.last_update_time for one in descending] == [5.0, 4.0, 3.0, 3.0, 2.5, 1.0, -1.0]
        assert {one.key for one in descending} == set(keys)

    @pytest.mark.parametrize("size", [1, 4, 100])
    def test_an_apps_sessions_with_each_users_together(self, session_backend: Managed, size: int) -> None:
        keys = [key for user in ("", "u", "v:1", "*") for key in _sessions(session_backend, user, times=[1.0] * 5)]
        created(session_backend, SessionKey("b", "u", "0"))
        found = list(_all(session_backend, SessionQuery(APP, size=size)))
        assert sorted(map(_names, found)) == sorted((key.user_id, key.session_id) for key in keys)
        users = [one.key.user_id for one in found]
        assert len(list(groupby(users))) == len(set(users))
        (of_nobody,) = {one.key.user_id for one in _all(session_backend, SessionQuery(APP, "", size=size))}
        assert of_nobody == ""

    def test_sessions_have_their_state_unless_it_is_not_wanted(self, session_backend: Managed) -> None:
        new = created(session_backend, SessionKey(APP, "u", "1"), {"own": 1, "user:ours": 2, "app:everyones": 3})
        (found,) = _all(session_backend, SessionQuery(APP, "u"))
        assert (found.state, found.shared.user, found.shared.app) == ({"own": 1}, {"ours": 2}, {"everyones": 3})
        assert not found.bodies
        (bare,) = _all(session_backend, SessionQuery(APP, with_state=False))
        assert (bare.key, bare.revision, bare.last_update_time) == (new.key, new.revision, new.created)

    @pytest.mark.parametrize("order", ["storage", "update_time", "update_time desc"])
    def test_what_stands_still_is_met_once_while_others_come_and_go(self, session_backend: Managed, order: Any) -> None:
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

    def test_a_cursor_is_made_of_values_that_json_can_hold(self, session_backend: Managed) -> None:
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

    def test_a_cursor_that_is_made_up_shows_nothing_of_others(self, session_backend: Managed) -> None:
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

    def test_labels_select(self, session_backend: Managed) -> None:
        given = [{}, {"team": "a"}, {"team": "b"}, {"team": "a", "x.$y": "*"}, {"team": "a", "x.$y": ""}, {"team": ""}]
        for number, labels in enumerate(given):
            created(session_backend, SessionKey(APP, "u", str(number)), created=float(number), labels=labels)
        created(session_backend, SessionKey(APP, "v", "6"), labels={"team": "a"})
        for labels, of_u, of_all in (
            ({}, "012345", "0123456"),
            ({"team": "a"}, "134", "1346"),
            ({"team": ""}, "5", "5"),
            ({"team": "a", "x.$y": "*"}, "3", "3"),
            ({"team": "b", "x.$y": "*"}, "", ""),
            ({"other": ""}, "", ""),
        ):
            for user_id, wanted in (("u", of_u), (None, of_all)):
                for size in (1, 2, 100):
                    found = _all(session_backend, SessionQuery(APP, user_id, labels, size=size))
                    assert "".join(sorted(one.key.session_id for one in found)) == wanted
                assert session_backend.count(APP, user_id, labels) == len(wanted)
            newest = _all(session_backend, SessionQuery(APP, "u", labels, "update_time desc", size=2))
            assert "".join(one.key.session_id for one in newest) == of_u[::-1]

    def test_a_rare_label_is_found_among_many(self, session_backend: Managed) -> None:
        for number in range(300):
            labels = {"rare": "yes"} if number in (7, 250) else {"rare": "no"}
            created(session_backend, SessionKey(APP, "u", str(number)), created=float(number), labels=labels)
        for order in ("storage", "update_time", "update_time desc"):
            query = SessionQuery(APP, "u", {"rare": "yes"}, order, size=1)
            found = [one.key.session_id for one in _all(session_backend, query)]
            assert sorted(found) == ["250", "7"]

    def test_nothing_is_listed_and_counted_where_nothing_is(self, session_backend: Managed) -> None:
        assert list(_all(session_backend, SessionQuery(APP))) == []
        assert list(_all(session_backend, _by_time("u", 5))) == []
        assert session_backend.count(APP, None, {}) == session_backend.count(APP, "u", {"a": "b"}) == 0


def _sessions(backend: Managed, user_id: str, times: Sequence[float]) -> list[SessionKey]:
    keys = [SessionKey(APP, user_id, str(number)) for number in range(len(times))]
    for key, time in zip(keys, times, strict=True):
        created(backend, key, created=time)
    return keys


def _by_time(user_id: str, size: int) -> SessionQuery:
    return SessionQuery(APP, user_id, order="update_time", size=size)


def _pages(backend: Managed, query: SessionQuery) -> Iterator[Sequence[SessionRecord]]:
    while True:
        page = backend.list(query)
        assert len(page.records) <= query.size
        yield page.records
        if page.next is None:
            return
        query = evolve(query, after=page.next)


def _all(backend: Managed, query: SessionQuery) -> Iterator[SessionRecord]:
    for page in _pages(backend, query):
        yield from page


def _names(found: SessionRecord) -> tuple[str, str]:
    return found.key.user_id, found.key.session_id
