"""The contract of backends that manage sessions: their details, expiry and conditional deletion."""

from __future__ import annotations

import time
from typing import Any

import pytest
from attrs import evolve

from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.details import DEFAULT, NEVER, Changes, Lifetime
from adk_extra_sessions.queries import SessionQuery
from adk_extra_sessions.records import Window
from adk_extra_sessions.testing.backend_contract.labels import LabelVerbs
from adk_extra_sessions.testing.backend_contract.samples import KEY, append, appended, created, read, record

DETAILS: dict[str, Any] = {
    "display_name": "Ada's é \U0001f600 \0 cart",
    "labels": {"team": "a", "$x.y": "", "\U0001f600": "{}*:"},
    "lifetime": Lifetime.until(4_000_000_000.5),
    "parent_session_id": "parent",
    "root_session_id": "root",
}

LIFETIMES = [DEFAULT, NEVER, Lifetime.sliding(3_600_000), Lifetime.until(4_000_000_000.25)]


class ManagedContract(LabelVerbs):
    """Names, labels and expiry of sessions; counts. Supply the fixture `session_backend`."""

    def test_what_a_session_is_created_with_is_read_and_listed(self, session_backend: Managed) -> None:
        created(session_backend, create_time=123.456, **DETAILS)
        found = read(session_backend, recent=0).details
        assert {name: getattr(found, name) for name in DETAILS} == DETAILS
        assert (found.create_time, found.expire_time) == (123.456, 4_000_000_000.5)
        (listed,) = session_backend.list(SessionQuery(KEY.app_name)).records
        assert listed.details == found
        appended(session_backend, ["a", "b"])
        assert read(session_backend).details == found

    def test_a_session_that_says_nothing_has_no_details(self, session_backend: Managed) -> None:
        created(session_backend)
        found = read(session_backend).details
        assert (found.display_name, found.labels, found.lifetime) == (None, {}, DEFAULT)
        assert (found.parent_session_id, found.root_session_id, found.create_time) == (None, None, 100.0)

    def test_only_what_is_given_changes(self, session_backend: Managed) -> None:
        created(session_backend, **DETAILS)
        before = read(session_backend)
        for changes, changed in (
            (Changes(), {}),
            (Changes(display_name="new"), {"display_name": "new"}),
            (Changes(labels={"b": "1", "$x.y": "2"}), {"labels": {"b": "1", "$x.y": "2"}}),
            (Changes(display_name=None), {"display_name": None}),
            (Changes(labels={}), {"labels": {}}),
            (Changes(lifetime=NEVER), {"lifetime": NEVER, "expire_time": None}),
        ):
            wanted = evolve(read(session_backend).details, **changed)
            assert session_backend.update(KEY, changes) == wanted
            assert read(session_backend).details == wanted
        after = read(session_backend)
        assert (after.revision, after.last_update_time) == (before.revision, before.last_update_time)

    def test_a_holder_goes_on_after_a_change(self, session_backend: Managed) -> None:
        new = created(session_backend)
        for number, lifetime in enumerate(LIFETIMES):
            session_backend.update(KEY, Changes(display_name=str(number), labels={"n": str(number)}, lifetime=lifetime))
            stored = append(session_backend, [record("hello", 200.0 + number)], expected=new.revision + number)
            assert stored.error is None
        assert session_backend.count(SessionQuery(KEY.app_name, KEY.user_id, {"n": "3"})) == 1

    def test_what_is_missing_is_not_changed(self, session_backend: Managed) -> None:
        assert session_backend.update(KEY, Changes(display_name="a", labels={}, lifetime=NEVER)) is None
        assert session_backend.read(KEY, Window()) is None

    @pytest.mark.parametrize("assumed", LIFETIMES, ids=lambda lifetime: f"assumed-{lifetime.kind}")
    @pytest.mark.parametrize("lifetime", LIFETIMES, ids=lambda lifetime: lifetime.kind)
    def test_the_stored_lifetime_counts(self, session_backend: Managed, lifetime: Lifetime, assumed: Lifetime) -> None:
        created(session_backend, lifetime=lifetime)
        before = read(session_backend).details
        assert append(session_backend, [record("hello")], lifetime=assumed).error is None
        after = read(session_backend).details
        assert after.lifetime == lifetime
        if lifetime.kind == "ttl":
            assert before.expire_time is not None and after.expire_time is not None
            assert before.expire_time <= after.expire_time <= time.time() + 3_700
        else:
            assert after.expire_time == before.expire_time == (lifetime.expire_time or None)

    def test_an_expired_session_is_missing(self, session_backend: Managed) -> None:
        created(session_backend, lifetime=Lifetime.sliding(3_600_000))
        appended(session_backend, ["a"])
        session_backend.update(KEY, Changes(lifetime=Lifetime.until(time.time() + 0.2)))
        time.sleep(0.3)
        assert session_backend.read(KEY, Window()) is None
        for changes in (Changes(display_name="late"), Changes(lifetime=NEVER)):
            assert session_backend.update(KEY, changes) is None
        assert session_backend.count(SessionQuery(KEY.app_name, KEY.user_id)) == 0
        assert not session_backend.list(SessionQuery(KEY.app_name, KEY.user_id)).records
        assert not session_backend.delete_unchanged(KEY, 0)
        created(session_backend, lifetime=NEVER)
        assert not read(session_backend).bodies

    def test_a_session_that_may_stay_outlives_its_ttl(self, session_backend: Managed) -> None:
        for ttl_ms in (200, 2_000, 20_000):  # longer if a busy machine takes so long for the next call
            start = time.monotonic()
            created(session_backend, lifetime=Lifetime.sliding(ttl_ms))
            if session_backend.update(KEY, Changes(lifetime=NEVER)) is not None:
                break
            assert time.monotonic() - start > ttl_ms / 2000, "it expired too early"
        time.sleep(ttl_ms / 1000 + 0.1)
        assert read(session_backend).details.expire_time is None

    def test_only_what_is_as_it_was_judged_is_deleted(self, session_backend: Managed) -> None:
        new = created(session_backend)
        appended(session_backend, ["a"])
        assert not session_backend.delete_unchanged(KEY, new.revision)
        assert len(read(session_backend).bodies) == 1
        assert session_backend.delete_unchanged(KEY, new.revision + 1)
        assert session_backend.read(KEY, Window()) is None
        assert not session_backend.delete_unchanged(KEY, new.revision + 1)
        assert not session_backend.list(SessionQuery(KEY.app_name)).records
