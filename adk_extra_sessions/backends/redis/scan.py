"""Walking over all that is stored on Redis: apps, users, sessions, and users' state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import unquote

from attrs import frozen
from redis import RedisCluster

from adk_extra_sessions.backends.damaged import damage_named, left_out_if_damaged
from adk_extra_sessions.backends.redis.layout import (
    AppKeys,
    Field,
    SessionKeys,
    UserKeys,
    app_of,
    decoded,
    encoded,
    matching,
)
from adk_extra_sessions.backends.redis.reading import read_hash, scan_index
from adk_extra_sessions.backends.redis.replies import (
    PendingDelta,
    checked,
    fields,
    foreign_type_named,
    pending_deltas,
    state_of,
    text,
)
from adk_extra_sessions.backends.redis.split_app_state import with_pending
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.records import SessionKey

USERS = 500
"""Users, or sessions, that one round trip reads."""

SCANNED = 5000
"""Keys, or ids of sessions, that one step of a walk looks at."""


@frozen
class Scan:
    """A walk over the keys below a prefix; see `Copyable` for what each method yields."""

    client: Any
    prefix: str

    def app_names(self) -> Iterator[str]:
        """Finds the apps that have anything stored, each once."""
        # There is no index of apps, since every write would have to change it.
        met: set[str] = set()
        for tag in self._tags("{*}:[aiu]"):
            name = app_of(tag)
            if name not in met:
                met.add(name)
                yield name

    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        """Finds the sessions of an app or of one user."""
        for page in self._user_pages(app_name) if user_id is None else [[user_id]]:
            pipeline = self.client.pipeline(transaction=False)
            for user in page:
                scan_index(pipeline, UserKeys.of(self.prefix, app_name, user).index, 0, SCANNED)
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
            cursor, found = scan_index(self.client, index, cursor, SCANNED)
            yield from (SessionKey(app_name, user_id, decoded(name)) for name, _ in found)

    def _user_pages(self, app_name: str) -> Iterator[Iterable[str]]:
        with left_out_if_damaged(SessionKey(app_name, "", "")):
            yield from UserIndex(self.client, self.prefix, app_name).pages(USERS)

    def app_state(self, app_name: str) -> Mapping[str, Any]:
        """Reads the app's state."""
        app = SessionKey(app_name, "", "")
        # Read before the state itself, so that a delta that is applied meanwhile is not missed.
        pending = list(self._pending(app_name)) if isinstance(self.client, RedisCluster) else []
        with foreign_type_named(app), damage_named(app):
            return with_pending(fields(read_hash(self.client, AppKeys.of(self.prefix, app_name).state)), pending)

    def _pending(self, app_name: str) -> Iterator[PendingDelta]:
        """Yields the deltas to the app's state that sessions still hold."""
        coming = self.session_keys(app_name, None)
        while page := list(islice(coming, USERS)):
            held = self._of_sessions(page, lambda pipeline, key: pipeline.hexists(key, Field.has_pending))
            holding = [key for key, found in zip(page, held, strict=True) if found and not isinstance(found, Exception)]
            for key, found in zip(holding, self._of_sessions(holding, read_hash), strict=True):
                deltas: Sequence[PendingDelta] = ()
                with left_out_if_damaged(key):
                    deltas = pending_deltas(fields(checked(found, key)), key)
                yield from deltas

    def _of_sessions(self, keys: Sequence[SessionKey], command: Callable[[Any, str], object]) -> Sequence[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            command(pipeline, SessionKeys.of(self.prefix, key).session)
        replies: Sequence[Any] = pipeline.execute(raise_on_error=False) if keys else []
        return replies

    def user_states(self, app_name: str, user_id: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any, or of one."""
        if user_id is not None:
            found = read_hash(self.client, UserKeys.of(self.prefix, app_name, user_id).state)
            yield user_id, state_of(found, SessionKey(app_name, user_id, ""))
            return
        tags = self._tags(f"{{{encoded(app_name)}/*}}:u")
        while users := [unquote(tag.partition("/")[2]) for tag in islice(tags, USERS)]:
            pipeline = self.client.pipeline(transaction=False)
            for user in users:
                read_hash(pipeline, UserKeys.of(self.prefix, app_name, user).state)
            for user, found in zip(users, pipeline.execute(raise_on_error=False), strict=True):
                state: Mapping[str, Any] | None = None
                with left_out_if_damaged(SessionKey(app_name, user, "")):
                    state = state_of(found, SessionKey(app_name, user, ""))
                if state is not None:
                    yield user, state

    def _tags(self, pattern: str) -> Iterator[str]:
        """Yields the hash tags of the keys that match, without their braces."""
        for key in self.client.scan_iter(match=f"{matching(self.prefix)}:{pattern}", count=SCANNED):
            yield text(key).rpartition("{")[2].partition("}")[0]
