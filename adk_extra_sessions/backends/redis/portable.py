"""What moving all that is stored needs of Redis: walks over keys, long lists in pages, shared state apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import unquote

from redis import RedisCluster

from adk_extra_sessions.backends.damaged import left_out_if_damaged
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.backends.portable import Portable
from adk_extra_sessions.backends.redis import doctor, scripts, strays
from adk_extra_sessions.backends.redis.history import History
from adk_extra_sessions.backends.redis.layout import AppKeys, SessionKeys, UserKeys, decoded, encoded, matching
from adk_extra_sessions.backends.redis.replies import checked, foreign_type_named, state_of, text
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.records import SessionKey, SessionRecord, StateTexts

AT_ONCE = 500
"""Events, or users, that one round trip reads."""

SCANNED = 5000
"""Keys, or ids of sessions, that one step of a walk looks at."""


class PortableOnRedis(Portable):
    """The primitives of whole copies."""

    client: Any
    prefix: str

    def _findings(self) -> Iterator[Finding]:
        return doctor.findings(self.client)

    def _strays(self) -> Iterator[Finding]:
        yield from strays.strays(self.client, self.prefix)
        keys = (key for app_name in self._app_names() for key in self._session_keys(app_name, None))
        yield from strays.lost(self.client, self.prefix, keys)

    def _app_names(self) -> Iterator[str]:
        # No index of apps is kept: every write would meet there.
        met: set[str] = set()
        for tag in self._tags("{*}:[aiu]"):
            name = unquote(tag.partition("/")[0])
            if name not in met:
                met.add(name)
                yield name

    def _session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        for page in self._user_pages(app_name) if user_id is None else [[user_id]]:
            pipeline = self.client.pipeline(transaction=False)
            for user in page:
                pipeline.zscan(UserKeys.of(self.prefix, app_name, user).index, 0, count=SCANNED)
            for user, reply in zip(page, pipeline.execute(raise_on_error=False), strict=True):
                found: Any = (0, [])
                with left_out_if_damaged(SessionKey(app_name, user, "")):
                    found = checked(reply, SessionKey(app_name, user, ""))
                yield from self._keys_of_user(app_name, user, found)

    def _keys_of_user(self, app_name: str, user_id: str, reply: tuple[int, Any]) -> Iterator[SessionKey]:
        cursor, found = reply
        index = UserKeys.of(self.prefix, app_name, user_id).index
        yield from (SessionKey(app_name, user_id, decoded(name)) for name, _ in found)
        while cursor:
            cursor, found = self.client.zscan(index, cursor, count=SCANNED)
            yield from (SessionKey(app_name, user_id, decoded(name)) for name, _ in found)

    def _user_pages(self, app_name: str) -> Iterator[Iterable[str]]:
        with left_out_if_damaged(SessionKey(app_name, "", "")):
            yield from UserIndex(self.client, self.prefix, app_name).pages(AT_ONCE)

    def _app_state(self, app_name: str) -> Mapping[str, Any]:
        app = SessionKey(app_name, "", "")
        with foreign_type_named(app):
            return state_of(self.client.hgetall(AppKeys.of(self.prefix, app_name).state), app)

    def _user_states(self, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        tags = self._tags(f"{{{encoded(app_name)}/*}}:u")
        while users := [unquote(tag.partition("/")[2]) for tag in islice(tags, AT_ONCE)]:
            pipeline = self.client.pipeline(transaction=False)
            for user in users:
                pipeline.hgetall(UserKeys.of(self.prefix, app_name, user).state)
            for user, found in zip(users, pipeline.execute(raise_on_error=False), strict=True):
                state: Mapping[str, Any] | None = None
                with left_out_if_damaged(SessionKey(app_name, user, "")):
                    state = state_of(found, SessionKey(app_name, user, ""))
                if state is not None:
                    yield user, state

    def _write_shared(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        if texts.user:
            self._write_fields(UserKeys.of(self.prefix, app_name, user_id).state, texts.user)
        app = AppKeys.of(self.prefix, app_name).state
        if texts.app and isinstance(self.client, RedisCluster):  # there each value has a ticket beside it
            split = SplitAppState(self.client)
            split.apply(app, split.take_ticket(app), texts.app)
        elif texts.app:
            self._write_fields(app, texts.app)

    def _earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        keys = SessionKeys.of(self.prefix, record.key)
        history = History(self.client, keys, record.revision - record.first - len(record.bodies))
        for first in range(0, record.first, AT_ONCE):
            yield history.page(first, min(first + AT_ONCE, record.first) - 1)

    def _set_time(self, key: SessionKey, revision: int, time: float) -> None:
        keys = SessionKeys.of(self.prefix, key)
        scripts.run(self.client, scripts.Call(scripts.SET_TIME, [keys.session, keys.index], [revision, repr(time)]))

    def _write_fields(self, key: str, texts: Mapping[str, str]) -> None:
        self.client.hset(key, mapping={f"s:{name}": value for name, value in texts.items()})

    def _tags(self, pattern: str) -> Iterator[str]:
        """Yields what stands in the braces of the keys that match."""
        for key in self.client.scan_iter(match=f"{matching(self.prefix)}:{pattern}", count=SCANNED):
            yield text(key).rpartition("{")[2].partition("}")[0]
