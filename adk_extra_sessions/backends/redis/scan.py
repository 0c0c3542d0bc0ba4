"""Walking over all that is stored on Redis: apps, users, sessions, and users' state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from adk_extra_sessions.backends.damaged import left_out_if_damaged
from adk_extra_sessions.backends.redis.layout import UserKeys, decoded, encoded, matching
from adk_extra_sessions.backends.redis.replies import checked, state_of, text
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.records import SessionKey

USERS = 500
"""Users that one round trip reads."""

SCANNED = 5000
"""Keys, or ids of sessions, that one step of a walk looks at."""


@frozen
class Scan:
    """A walk over the keys below a prefix; see `Copyable` for what each method yields."""

    client: Any
    prefix: str

    def app_names(self) -> Iterator[str]:
        """Finds the apps that have anything stored, each once."""
        # No index of apps is kept: every write would meet there.
        met: set[str] = set()
        for tag in self._tags("{*}:[aiu]"):
            name = unquote(tag.partition("/")[0])
            if name not in met:
                met.add(name)
                yield name

    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        """Finds the sessions of an app or of one user."""
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
            yield from UserIndex(self.client, self.prefix, app_name).pages(USERS)

    def user_states(self, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any."""
        tags = self._tags(f"{{{encoded(app_name)}/*}}:u")
        while users := [unquote(tag.partition("/")[2]) for tag in islice(tags, USERS)]:
            pipeline = self.client.pipeline(transaction=False)
            for user in users:
                pipeline.hgetall(UserKeys.of(self.prefix, app_name, user).state)
            for user, found in zip(users, pipeline.execute(raise_on_error=False), strict=True):
                state: Mapping[str, Any] | None = None
                with left_out_if_damaged(SessionKey(app_name, user, "")):
                    state = state_of(found, SessionKey(app_name, user, ""))
                if state is not None:
                    yield user, state

    def _tags(self, pattern: str) -> Iterator[str]:
        """Yields what stands in the braces of the keys that match."""
        for key in self.client.scan_iter(match=f"{matching(self.prefix)}:{pattern}", count=SCANNED):
            yield text(key).rpartition("{")[2].partition("}")[0]
