"""The operations that manage sessions, drawn at random together with all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.adk.sessions import Session as AdkSession
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule
from support.session_machine import APPS, USERS, Machine, deltas, keys
from support.session_model import Stored

from adk_extra_sessions import ErasureReceipt, Pruned, Session
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import SessionKey

LABELS = [{}, {"team": "a"}, {"team": "b", "$x.y": ""}, {"$x.y": "", "é": "*"}]
LATER = 4_000_000_000.0

labels = st.sampled_from(LABELS)
display_names = st.sampled_from([None, "Name", "$set\0é"])
lifetimes = st.sampled_from([{}, {}, {"ttl": "30d"}, {"ttl": None}, {"expire_time": LATER}])
details = st.tuples(display_names, labels, lifetimes)
filters = st.sampled_from([{}, {}, {"team": "a"}, {"$x.y": ""}])
users = st.none() | st.sampled_from([*USERS, ""])


class ManagedMachine(Machine):
    """All operations of a store whose backend has all abilities."""

    @rule(target=Machine.holders, names=keys, state=deltas, given=details)
    def create_with_details(self, names: Any, state: Any, given: Any) -> Any:
        key = self.key(names)
        if key in self.model.sessions:
            return multiple()
        named = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        live = self.strict.create_session(**named, state=state, display_name=given[0], labels=given[1], **given[2])
        self.model.create(key, state, live.last_update_time)
        self.note(key, given)
        self.compare_details(live)
        return self.a_holder(key, live, self.model.sessions[key].revision, [])

    @rule(target=Machine.holders, names=keys, state=deltas, given=details)
    def get_or_create(self, names: Any, state: Any, given: Any) -> Any:
        key = self.key(names)
        is_new = key not in self.model.sessions
        named = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        live = self.strict.get_or_create_session(
            **named, state=state, display_name=given[0], labels=given[1], **given[2]
        )
        if is_new:
            self.model.create(key, state, live.last_update_time)
            self.note(key, given)
        assert live.events == self.model.sessions[key].events
        self.compare_details(live)
        return self.a_holder(key, live, self.model.sessions[key].revision, live.events)

    @rule(names=keys, given=details, which=st.sets(st.sampled_from(["display_name", "labels", "lifetime"])))
    def update(self, names: Any, given: Any, which: set[str]) -> None:
        key = self.key(names)
        named = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        changes = {name: value for name, value in zip(("display_name", "labels"), given, strict=False) if name in which}
        if "lifetime" in which:
            changes.update(given[2])
        stored = self.model.sessions.get(key)
        if stored is None:
            try:
                self.strict.update_session(**named, **changes)
            except SessionNotFoundError:
                return
            raise AssertionError(f"{key} is not there")
        found = self.strict.update_session(**named, **changes)
        stored.display_name = changes.get("display_name", stored.display_name)
        stored.labels = dict(changes.get("labels", stored.labels))
        stored.lifetime = given[2] if "lifetime" in which and given[2] else stored.lifetime
        assert (found.display_name, found.labels) == (stored.display_name, stored.labels)

    def note(self, key: SessionKey, given: Any) -> None:
        stored = self.model.sessions[key]
        stored.display_name, stored.labels, stored.lifetime = given[0], dict(given[1]), given[2]

    def compare(self, found: AdkSession) -> None:
        super().compare(found)
        self.compare_details(found)

    def compare_details(self, found: AdkSession) -> None:
        assert isinstance(found, Session)
        stored = self.model.sessions[SessionKey(found.app_name, found.user_id, found.id)]
        assert (found.display_name, found.labels) == (stored.display_name, stored.labels)
        if "expire_time" in stored.lifetime:
            assert found.expire_time == LATER
        elif stored.lifetime:
            assert (found.expire_time is None) == (stored.lifetime["ttl"] is None)
        else:
            assert (found.expire_time is None) == (not self.strict.options.ttl_ms)

    @rule(
        app=st.sampled_from(APPS),
        user=users,
        having=filters,
        size=st.integers(1, 4),
        order=st.sampled_from([None, "update_time", "update_time desc"]),
    )
    def list_in_pages(self, app: str, user: str | None, having: Any, size: int, order: str | None) -> None:
        query = {"app_name": self.run + app, "user_id": user, "labels": having}
        order = None if user is None else order
        wanted = self.chosen(app, user, having)
        met: list[Session] = []
        token = None
        while True:
            page = self.strict.list_sessions(**query, page_size=size, page_token=token, order_by=order)  # type: ignore[arg-type]
            met += page.sessions
            token = page.next_page_token
            if token is None:
                break
            assert len(page.sessions) == size
        assert sorted((one.user_id, one.id) for one in met) == sorted((key.user_id, key.session_id) for key in wanted)
        if order is not None:
            times = [one.last_update_time for one in met]
            assert times == sorted(times, reverse=order.endswith("desc"))
        for one in met:
            self.compare(one)
        assert self.strict.count_sessions(**query) == len(wanted)  # type: ignore[arg-type]

    @rule(
        app=st.sampled_from(APPS),
        user=users,
        having=filters,
        age=st.none() | st.sampled_from([0.0, 5.0, -5.0]),
        keep_last=st.none() | st.integers(0, 2),
        dry_run=st.booleans(),
    )
    def prune(
        self, app: str, user: str | None, having: Any, age: float | None, keep_last: int | None, dry_run: bool
    ) -> None:
        if age is None and keep_last is None and not having:
            return
        before = None if age is None else self.now + age
        wanted = self.chosen(app, user, having)
        gone = []
        for user_id in {key.user_id for key in wanted}:
            of_user = [key for key in wanted if key.user_id == user_id]
            gone += of_user[: max(0, len(of_user) - (keep_last or 0))]
        gone = [key for key in gone if before is None or self.model.sessions[key].last_update_time < before]
        pruned = self.strict.prune_sessions(
            app_name=self.run + app, user_id=user, before=before, keep_last=keep_last, labels=having, dry_run=dry_run
        )
        assert (pruned.deleted, pruned.changed) == (len(gone), 0)
        assert isinstance(pruned, Pruned)
        if not dry_run:
            for key in gone:
                del self.model.sessions[key]

    def chosen(self, app: str, user: str | None, having: Mapping[str, str]) -> list[SessionKey]:
        """Sessions with these labels, the oldest first."""
        listed = self.model.listed(self.run + app, user)
        return [key for key in listed if having.items() <= self.model.sessions[key].labels.items()]

    @rule(app=st.sampled_from(APPS), user=users, really=st.integers(0, 3))
    def erase(self, app: str, user: str | None, really: int) -> None:
        if really:  # else nothing would ever grow
            return
        app_name = self.run + app
        receipt: ErasureReceipt
        if user is None:
            receipt = self.strict.delete_app(app_name=app_name)
        else:
            receipt = self.strict.delete_user(app_name=app_name, user_id=user)
        gone: list[Stored] = [self.model.sessions.pop(key) for key in self.model.listed(app_name, user)]
        assert (receipt.sessions, receipt.events) == (len(gone), sum(len(one.events) for one in gone))
        for names in list(self.model.shared):
            if names[0] == app_name and (user is None or names[1:] == (user,)):
                del self.model.shared[names]
