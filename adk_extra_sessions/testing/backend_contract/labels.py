"""The contract of `list` with labels, and of `count`."""

from __future__ import annotations

from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.queries import SessionQuery
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.backend_contract.listing import APP, listed
from adk_extra_sessions.testing.backend_contract.samples import created


class LabelVerbs:
    """Lists and counts have the sessions with all given labels."""

    def test_labels_select(self, session_backend: Managed) -> None:
        given = [{}, {"team": "a"}, {"team": "b"}, {"team": "a", "x.$y": "*"}, {"team": "a", "x.$y": ""}, {"team": ""}]
        for number, labels in enumerate(given):
            created(session_backend, SessionKey(APP, "u", str(number)), create_time=float(number), labels=labels)
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
                    found = listed(session_backend, SessionQuery(APP, user_id, labels, size=size))
                    assert "".join(sorted(one.key.session_id for one in found)) == wanted
                assert session_backend.count(SessionQuery(APP, user_id, labels)) == len(wanted)
            newest = listed(session_backend, SessionQuery(APP, "u", labels, "update_time desc", size=2))
            assert "".join(one.key.session_id for one in newest) == of_u[::-1]

    def test_a_rare_label_is_found_among_many(self, session_backend: Managed) -> None:
        for number in range(300):
            labels = {"rare": "yes"} if number in (7, 250) else {"rare": "no"}
            created(session_backend, SessionKey(APP, "u", str(number)), create_time=float(number), labels=labels)
        for order in ("storage", "update_time", "update_time desc"):
            query = SessionQuery(APP, "u", {"rare": "yes"}, order, size=1)
            found = [one.key.session_id for one in listed(session_backend, query)]
            assert sorted(found) == ["250", "7"]

    def test_nothing_is_counted_where_nothing_is(self, session_backend: Managed) -> None:
        assert session_backend.count(SessionQuery(APP)) == 0
        assert session_backend.count(SessionQuery(APP, "u", {"a": "b"})) == 0
