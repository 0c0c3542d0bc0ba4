"""Listing sessions on Redis: indexes first, then the sessions' hashes, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.damaged import left_out_if_damaged
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, UserKeys, decoded
from adk_extra_sessions.backends.redis.reading import read_hash, scan_index
from adk_extra_sessions.backends.redis.replies import StoredSession, checked, fields, state_of
from adk_extra_sessions.backends.redis.split_app_state import with_pending
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.records import SessionKey, SessionRecord, SharedState

AT_ONCE = 1000
"""Sessions that one script call reads: the server serves nobody else meanwhile."""


@frozen
class Listing:
    """A walk over an app's sessions without their events.

    Attributes:
        page_size: About how many sessions to read at once.
        is_split: Whether sessions may hold deltas to the app's state (Redis Cluster).
    """

    client: Any
    prefix: str
    app_name: str
    page_size: int
    is_split: bool = False

    def of_app(self) -> Iterator[Sequence[SessionRecord]]:
        """Yields pages of all users' sessions: three round trips up to a page of each."""
        users = UserIndex(self.client, self.prefix, self.app_name)
        for times in users.pages(self.page_size):
            without: list[str] = []
            yield from self.of_users(list(times), without)
            if without:
                users.remove({user_id: times[user_id] for user_id in without})

    def of_users(self, user_ids: Sequence[str], without: list[str] | None = None) -> Iterator[Sequence[SessionRecord]]:
        """Yields pages of some users' sessions: two round trips for the first page of all.

        Args:
            user_ids: The users.
            without: Gets those of them who have no sessions.
        """
        pipeline = self.client.pipeline(transaction=False)
        read_hash(pipeline, AppKeys.of(self.prefix, self.app_name).state)
        for user_id in user_ids:
            keys = UserKeys.of(self.prefix, self.app_name, user_id)
            read_hash(pipeline, keys.state)
            scan_index(pipeline, keys.index, 0, self.page_size)
        app, *replies = pipeline.execute(raise_on_error=False)
        app_state = self._state(app, "")
        shared: dict[str, SharedState] = {}
        met: list[SessionKey] = []
        for user_id, state, ids in zip(user_ids, replies[::2], replies[1::2], strict=True):
            user = SessionKey(self.app_name, user_id, "")
            with left_out_if_damaged(user):
                cursor, found = checked(ids, user)
                shared[user_id] = SharedState(app_state, self._state(state, user_id))
            if user_id not in shared:
                continue
            if without is not None and cursor == 0 and not found:
                without.append(user_id)
            index = UserKeys.of(self.prefix, self.app_name, user_id).index
            met += self._session_keys(user_id, found)
            while cursor != 0:
                cursor, found = scan_index(self.client, index, cursor, self.page_size)
                met += self._session_keys(user_id, found)
                yield from self._full_pages(met, shared)
            yield from self._full_pages(met, shared)
        if met:
            yield self._page(met, shared)

    def _session_keys(self, user_id: str, found: Sequence[Any]) -> list[SessionKey]:
        return [SessionKey(self.app_name, user_id, decoded(name)) for name, _ in found]

    def _full_pages(
        self, met: list[SessionKey], shared: Mapping[str, SharedState]
    ) -> Iterator[Sequence[SessionRecord]]:
        while len(met) >= self.page_size:
            page, met[: self.page_size] = met[: self.page_size], []
            yield self._page(page, shared)

    def _page(self, page: Sequence[SessionKey], shared: Mapping[str, SharedState]) -> list[SessionRecord]:
        by_user: dict[str, list[SessionKey]] = {}
        for key in page:
            by_user.setdefault(key.user_id, []).append(key)
        parts = [keys[at : at + AT_ONCE] for keys in by_user.values() for at in range(0, len(keys), AT_ONCE)]
        replies = scripts.run_many(self.client, [self._call(part) for part in parts])
        records = []
        for part, reply in zip(parts, replies, strict=True):
            for key, found in zip(part, checked(reply, part[0]), strict=True):
                if found:
                    with left_out_if_damaged(key):
                        records.append(self._record(key, found, shared[key.user_id]))
        return records

    def _state(self, reply: Any, user_id: str) -> Mapping[str, Any]:
        return state_of(reply, SessionKey(self.app_name, user_id, ""))

    def _call(self, part: Sequence[SessionKey]) -> scripts.Call:
        keys = self._user_keys(part[0].user_id)
        return scripts.Call(scripts.LIST, [keys.index, *(keys.session(key.session_id) for key in part)], [])

    def _record(self, key: SessionKey, found: Sequence[Any], shared: SharedState) -> SessionRecord:
        stored = StoredSession.of(found, key)
        if self.is_split and stored.pending:
            app = read_hash(self.client, AppKeys.of(self.prefix, self.app_name).state)
            shared = SharedState(with_pending(fields(app), stored.pending), shared.user)
        return SessionRecord(key, stored.revision, stored.update_time, stored.state, shared)

    def _user_keys(self, user_id: str) -> UserKeys:
        return UserKeys.of(self.prefix, self.app_name, user_id)
