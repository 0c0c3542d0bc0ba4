"""The contract of `append`."""

from __future__ import annotations

from adk_extra_sessions.adk.private import StaleSessionError
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import AppendRequest, SessionKey
from adk_extra_sessions.testing.backend_contract.samples import (
    KEY,
    append,
    appended,
    created,
    read,
    record,
    texts_of,
)


class AppendVerb:
    """Events, state, revision and time change together, behind a check of the revision."""

    def test_events_come_at_the_end_and_raise_the_revision(self, session_backend: Backend) -> None:
        new = created(session_backend)
        events = [
            record("a", 300.0, {"own": 1, "app:everyones": 0}),
            record("b", 250.0, {"own": 2, "user:ours": 1, "app:everyones": 1}),
        ]
        assert append(session_backend, events, expected=new.revision).revisions == [new.revision + 1, new.revision + 2]
        found = read(session_backend)
        assert (texts_of(found), found.revision, found.last_update_time) == (["a", "b"], new.revision + 2, 250.0)
        assert (found.state, found.shared.user, found.shared.app) == ({"own": 2}, {"ours": 1}, {"everyones": 1})

    def test_a_session_at_another_revision_is_refused_whole(self, session_backend: Backend) -> None:
        new = created(session_backend)
        append(session_backend, [record("a")], expected=new.revision)
        outcome = append(session_backend, [record("b", delta={"own": 1, "user:ours": 1})], expected=new.revision)
        assert isinstance(outcome.error, StaleSessionError)
        found = read(session_backend)
        assert (texts_of(found), found.state, found.shared.user) == (["a"], {}, {})

    def test_without_a_revision_the_time_decides(self, session_backend: Backend) -> None:
        created(session_backend)
        assert append(session_backend, [record("a", 300.0)], not_after=100.0).error is None
        assert isinstance(append(session_backend, [record("b", 301.0)], not_after=299.0).error, StaleSessionError)
        assert append(session_backend, [record("c", 302.0), record("d", 303.0)], not_after=300.0).error is None
        assert append(session_backend, [record("e", 304.0)]).error is None
        assert texts_of(read(session_backend)) == ["a", "c", "d", "e"]

    def test_a_missing_session_is_not_made(self, session_backend: Backend) -> None:
        for expected in (None, 7):
            outcome = append(session_backend, [record("a", delta={"user:ours": 1})], expected=expected)
            assert isinstance(outcome.error, SessionNotFoundError)
        created(session_backend)
        assert list(read(session_backend).bodies) == []

    def test_an_event_that_is_stored_has_its_old_revision(self, session_backend: Backend) -> None:
        new = created(session_backend)
        a, b = record("a", delta={"own": "a"}), record("b", 201.0, {"own": "b"})
        append(session_backend, [a], expected=new.revision)
        append(session_backend, [b], expected=new.revision + 1)
        assert append(session_backend, [a], expected=new.revision).revisions == [new.revision + 1]
        assert append(session_backend, [a]).revisions == [new.revision + 1]
        assert append(session_backend, [a, b], expected=new.revision).revisions == [new.revision + 1, new.revision + 2]
        c = record("c", 202.0)
        assert append(session_backend, [b, c], expected=new.revision + 1).revisions == [
            new.revision + 2,
            new.revision + 3,
        ]
        assert append(session_backend, [a, record("d", 203.0)]).revisions == [new.revision + 1, new.revision + 4]
        assert (texts_of(read(session_backend)), read(session_backend).state) == (["a", "b", "c", "d"], {"own": "b"})

    def test_an_event_that_comes_twice_in_a_request_is_stored_once(self, session_backend: Backend) -> None:
        new = created(session_backend)
        for expected, text in ((new.revision, "a"), (None, "b")):
            one, before = record(text), read(session_backend).revision
            assert append(session_backend, [one, one], expected=expected).revisions == [before + 1, before + 1]
        assert texts_of(read(session_backend)) == ["a", "b"]

    def test_a_repeated_event_counts_only_if_it_follows_what_is_known(self, session_backend: Backend) -> None:
        new = created(session_backend)
        old, other = record("old"), record("other", 201.0)
        append(session_backend, [old], expected=new.revision)
        append(session_backend, [other], expected=new.revision + 1)
        outcome = append(session_backend, [old, record("next", 202.0)], expected=new.revision + 1)
        assert isinstance(outcome.error, StaleSessionError)
        assert texts_of(read(session_backend)) == ["old", "other"]

    def test_a_repeated_event_that_is_the_last_one_shows_that_all_is_known(self, session_backend: Backend) -> None:
        new = created(session_backend)
        first = record("first", 300.0)
        append(session_backend, [first], not_after=100.0)
        again = append(session_backend, [first, record("next", 301.0)], not_after=100.0)
        assert again.revisions == [new.revision + 1, new.revision + 2]
        outcome = append(session_backend, [first, record("late", 302.0)], not_after=100.0)
        assert isinstance(outcome.error, StaleSessionError)
        assert texts_of(read(session_backend)) == ["first", "next"]

    def test_an_old_event_is_found_in_a_long_history(self, session_backend: Backend) -> None:
        new = created(session_backend)
        records = appended(session_backend, [str(number) for number in range(150)])
        for place in (0, 1, 70, 149):
            assert append(session_backend, [records[place]]).revisions == [new.revision + place + 1]
        assert len(read(session_backend).bodies) == 150

    def test_each_request_has_an_outcome_of_its_own(self, session_backend: Backend) -> None:
        keys = [SessionKey(KEY.app_name, KEY.user_id, name) for name in ("there", "missing", "newer", "last")]
        there, newer, last = (created(session_backend, key) for key in (keys[0], keys[2], keys[3]))
        append(session_backend, [record("before")], keys[2], expected=newer.revision)
        revisions = [there.revision, 7, newer.revision, last.revision]
        requests = [
            AppendRequest(key, [record("now", 300.0)], expected=revision)
            for key, revision in zip(keys, revisions, strict=True)
        ]
        outcomes = session_backend.append(requests)
        assert [type(outcome.error) for outcome in outcomes] == [
            type(None),
            SessionNotFoundError,
            StaleSessionError,
            type(None),
        ]
        assert [texts_of(read(session_backend, key)) for key in (keys[0], keys[2], keys[3])] == [
            ["now"],
            ["before"],
            ["now"],
        ]

    def test_shared_state_is_seen_by_all_sessions_it_belongs_to(self, session_backend: Backend) -> None:
        keys = [SessionKey(*names) for names in (("a", "u", "1"), ("a", "u", "2"), ("a", "v", "1"), ("b", "u", "1"))]
        for key in keys:
            created(session_backend, key)
        append(session_backend, [record("x", delta={"user:ours": 1, "app:everyones": 1})], keys[0])
        append(session_backend, [record("y", delta={"user:more": 2, "app:everyones": 2})], keys[1])
        seen = [(read(session_backend, key).shared.user, read(session_backend, key).shared.app) for key in keys]
        mine = {"ours": 1, "more": 2}
        assert seen == [(mine, {"everyones": 2}), (mine, {"everyones": 2}), ({}, {"everyones": 2}), ({}, {})]
