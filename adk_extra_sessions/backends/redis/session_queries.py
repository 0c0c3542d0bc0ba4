"""Answers a `SessionQuery` on Redis with a page of sessions without their events, or with their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from adk_extra_sessions.backends.damaged import DAMAGE, leave_out, left_out_if_damaged
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, UserKeys, decoded, encoded
from adk_extra_sessions.backends.redis.reading import read_hash
from adk_extra_sessions.backends.redis.replies import (
    StoredSession,
    checked,
    fields,
    foreign_type_named,
    label_pairs,
    state_of,
    text,
)
from adk_extra_sessions.backends.redis.scripts import Argument, Call
from adk_extra_sessions.backends.redis.split_app_state import with_pending
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.queries import Cursor, RecordPage, SessionQuery, checked_cursor
from adk_extra_sessions.records import SessionKey, SessionRecord
from adk_extra_sessions.state import SharedState

APP_STATE = 4
"""The place of the app's state in the reply of sessions_page.lua."""

USERS = 1000
"""Users that one round trip counts sessions of."""

Place: TypeAlias = "tuple[str, str]"
"""Time and name, as in the index, of the session before a page; empty for the first page."""

FIRST: Place = ("", "")


@frozen
class _Chosen:
    """A user whose sessions are on a page.

    Attributes:
        size: How many of them to read at most.
        count: How many the user has; expired ones may be among them.
        time: When all of them will have expired, according to the app's index.
    """

    user: str
    size: int
    count: int
    time: float


@frozen
class SessionQueries:
    """Finds the sessions of an app or of a user.

    Attributes:
        is_split: Whether sessions may hold changes of the app's state (Redis Cluster).
    """

    client: Any
    prefix: str
    is_split: bool

    def page(self, query: SessionQuery) -> RecordPage:
        """Reads one page: one round trip for a user (two on a cluster), three for an app; see `Backend.list`."""
        if query.user_id is None:
            return self._of_app(query)
        place = _place(query.after) if query.after else FIRST
        app = None
        if self.is_split and query.with_state:
            with foreign_type_named(SessionKey(query.app_name, "", "")):
                app = read_hash(self.client, self._app(query))
        found = self._found(query, [(query.user_id, place, query.size)])
        records, beyond, _ = self._records(query, query.user_id, found[0], self._app_state(query, app, found))
        return RecordPage(records, beyond if beyond != FIRST else None)

    def count(self, query: SessionQuery) -> int:
        """Counts sessions; see `Managed.count`."""
        app_name, labels = query.app_name, label_pairs(query.labels)
        total, users = 0, [] if query.user_id is None else [query.user_id]
        while True:
            if query.user_id is None:
                users = self._users(app_name, users[-1] if users else None, USERS)
            indexes = [UserKeys.of(self.prefix, app_name, user).index for user in users]
            replies = self._run([Call(scripts.COUNT, [index], labels) for index in indexes])
            for user, reply in zip(users, replies, strict=True):
                with left_out_if_damaged(SessionKey(app_name, user, "")):
                    total += int(checked(reply, SessionKey(app_name, user, ""))[1])
            if query.user_id is not None or len(users) < USERS:
                return total

    def _of_app(self, query: SessionQuery) -> RecordPage:
        start, place = _user_place(query.after) if query.after else (None, None)
        users = self._users(query.app_name, start, query.size)
        if start is not None and place is not None:
            users.insert(0, start)
        chosen, app = self._chosen(query, users)
        places = [(one.user, place or FIRST if one.user == start else FIRST, one.size) for one in chosen]
        found = self._found(query, places)
        app_state = self._app_state(query, app, found)
        records: list[SessionRecord] = []
        without = {}
        for one, reply in zip(chosen, found, strict=True):
            page, beyond, is_without = self._records(query, one.user, reply, app_state)
            records += page
            if beyond != FIRST:
                return RecordPage(records, (one.user, *beyond))
            if is_without and not (query.labels or one.user == start):
                without[one.user] = one.time
        if without:
            UserIndex(self.client, self.prefix, query.app_name).remove(without)
        more = chosen and (len(chosen) < len(users) or len(users) >= query.size)
        return RecordPage(records, (chosen[-1].user,) if more else None)

    def _chosen(self, query: SessionQuery, users: Sequence[str]) -> tuple[list[_Chosen], Any]:
        """Chooses the first users whose sessions fill a page; on a cluster, reads the app's state, too."""
        if not users:
            return [], None
        pipeline = self.client.pipeline(transaction=False)
        for user in users:
            pipeline.zcard(UserKeys.of(self.prefix, query.app_name, user).index)
            pipeline.zscore(AppKeys.of(self.prefix, query.app_name).users_by_expiry, encoded(user))
        reads_app = self.is_split and query.with_state
        if reads_app:
            read_hash(pipeline, self._app(query))
        replies = pipeline.execute(raise_on_error=False)
        chosen, left = [], query.size
        app = replies.pop() if reads_app else None
        for user, found, time in zip(users, replies[::2], replies[1::2], strict=True):
            if left <= 0:
                break
            count = found if isinstance(found, int) else 1
            chosen.append(_Chosen(user, left, count, float(time) if isinstance(time, (int, float)) else 0.0))
            left -= count
        return chosen, app

    def _found(self, query: SessionQuery, places: Sequence[tuple[str, Place, int]]) -> list[Any]:
        newest_first = "desc" if query.order.endswith("desc") else ""
        calls: list[Call] = []
        for user, (time, name), size in places:
            keys = UserKeys.of(self.prefix, query.app_name, user)
            arguments: list[Argument] = [newest_first, size, time, name, int(query.with_state)]
            app = [] if self.is_split or calls else [self._app(query)]  # the first call reads it for all
            names = [keys.index, keys.state, *app]
            calls.append(Call(scripts.SESSIONS_PAGE, names, [*arguments, *label_pairs(query.labels)]))
        return self._run(calls) if calls else []

    def _run(self, calls: Sequence[Call]) -> list[Any]:
        """Runs scripts whose first key is an index, and removes from it the names that begin their replies."""
        replies = scripts.run_many(self.client, calls)
        for at, call in enumerate(calls):
            # What was not found, but is there, was on its way to another node of a Redis Cluster.
            while not isinstance(replies[at], Exception) and self._drop_expired(call.keys[0], replies[at][0]):
                replies[at] = scripts.run_many(self.client, [call])[0]
        return replies

    def _drop_expired(self, index: str, names: Sequence[Any]) -> int:
        """Removes sessions that have expired from an index; returns how many have not."""
        user = UserKeys(index[:-1])
        sessions = [user.of_listed(text(name))[0] for name in names]
        return int(scripts.run(self.client, Call(scripts.DROP_EXPIRED, [index, *sessions], []))) if sessions else 0

    def _records(
        self, query: SessionQuery, user_id: str, reply: Any, app: Mapping[str, Any]
    ) -> tuple[list[SessionRecord], Place, bool]:
        """Returns a user's part of a page, where the next one begins, and whether there was no session at all."""
        user = SessionKey(query.app_name, user_id, "")
        try:
            _, time, name, state, _, *found = checked(reply, user)
            shared = SharedState(user=state_of(state, user), app=app)
        except DAMAGE as error:
            leave_out(user, error)
            return [], FIRST, False
        records: list[SessionRecord] = []
        for session, fields_, expires_at in zip(found[::3], found[1::3], found[2::3], strict=True):
            key = SessionKey(query.app_name, user_id, decoded(session))
            with left_out_if_damaged(key):
                records.append(self._record(StoredSession.of(fields_, expires_at, key), key, shared))
        return records, (text(time), text(name)), not found

    def _record(self, stored: StoredSession, key: SessionKey, shared: SharedState) -> SessionRecord:
        if self.is_split and stored.pending:
            app = read_hash(self.client, AppKeys.of(self.prefix, key.app_name).state)
            shared = SharedState(user=shared.user, app=with_pending(fields(app), stored.pending))
        return SessionRecord(
            key, stored.revision, stored.last_update_time, stored.state, shared, details=stored.details
        )

    def _app(self, query: SessionQuery) -> str:
        return AppKeys.of(self.prefix, query.app_name).state

    def _app_state(self, query: SessionQuery, app: Any, found: Sequence[Any]) -> Mapping[str, Any]:
        """Returns the app's state, which was read by itself or by the first of the script calls."""
        key = SessionKey(query.app_name, "", "")
        if app is None and found:
            try:
                app = checked(found[0], key)[APP_STATE]
            except CorruptRecordError:  # something of the user's, perhaps
                with foreign_type_named(key):
                    app = read_hash(self.client, self._app(query))
        return state_of(app or [], key)

    def _users(self, app_name: str, after: str | None, count: int) -> list[str]:
        """Reads names of users in their order, from the one after `after` on."""
        start = "-" if after is None else f"({encoded(after)}"
        key = AppKeys.of(self.prefix, app_name).users_by_name
        with foreign_type_named(SessionKey(app_name, "", "")):
            names = self.client.zrangebylex(key, start, "+", start=0, num=count)
        return [decoded(name) for name in names]


def _place(after: Cursor) -> Place:
    """Returns the place before a page of a user's sessions."""
    time, name = checked_cursor(after, str, str)
    return str(time), str(name)


def _user_place(after: Cursor) -> tuple[str, Place | None]:
    """Returns the user with whom a page of an app's sessions begins, and the place there; None after all of them."""
    (user,) = checked_cursor(after[:1], str)
    return str(user), _place(after[1:]) if after[1:] else None
