"""What moving all that is stored needs of Redis: walks over keys, long lists in pages, shared state apart."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import unquote

from redis import RedisCluster

from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import SessionKey, SessionRecord, StateTexts
from adk_extra_sessions.stores.redis import scripts
from adk_extra_sessions.stores.redis.keys import AppKeys, SessionKeys, UserKeys, encoded
from adk_extra_sessions.stores.redis.replies import Reply, damage_named, fields, text, values

AT_ONCE = 500
"""Events, or users, that one round trip reads."""

SCANNED = 5000
"""Keys that one step of a walk looks at."""


def app_names(client: Any, prefix: str) -> Iterator[str]:
    """Walks over all keys, since no index of apps is kept: it would be a hot spot of every write."""
    met: set[str] = set()
    for tag in _tags(client, f"{_glob(prefix)}:{{*}}:[aiu]"):
        name = unquote(tag.partition("/")[0])
        if name not in met:
            met.add(name)
            yield name


def user_states(client: Any, prefix: str, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walks over the states of an app's users."""
    tags = _tags(client, f"{_glob(prefix)}:{{{encoded(app_name)}/*}}:u")
    while users := [unquote(tag.partition("/")[2]) for tag in islice(tags, AT_ONCE)]:
        pipeline = client.pipeline(transaction=False)
        for user in users:
            pipeline.hgetall(UserKeys.of(prefix, app_name, user).state)
        for user, found in zip(users, pipeline.execute(), strict=True):
            with damage_named(SessionKey(app_name, user, "")):
                yield user, values(fields(found))


def app_state(client: Any, prefix: str, app_name: str) -> Mapping[str, Any]:
    """Reads an app's state."""
    with damage_named(SessionKey(app_name, "", "")):
        return values(fields(client.hgetall(AppKeys.of(prefix, app_name).state)))


def write_shared(client: Any, prefix: str, app_name: str, user_id: str, texts: StateTexts) -> None:
    """Sets keys of the app's and the user's state."""
    if texts.user:
        state = {f"s:{name}": value for name, value in texts.user.items()}
        client.hset(UserKeys.of(prefix, app_name, user_id).state, mapping=state)
    if texts.app and isinstance(client, RedisCluster):  # there each value has a time beside it
        pairs = [part for pair in texts.app.items() for part in pair]
        call = [uuid.uuid4().hex, repr(time.time()), "0", *pairs]
        scripts.run(client, scripts.Call(scripts.APPLY, [AppKeys.of(prefix, app_name).state], call))
    elif texts.app:
        state = {f"s:{name}": value for name, value in texts.app.items()}
        client.hset(AppKeys.of(prefix, app_name).state, mapping=state)


def earlier(client: Any, prefix: str, record: SessionRecord) -> Iterator[Sequence[Reply]]:
    """Reads the events before a record's, asking with each page whether they are still that session's."""
    keys = SessionKeys.of(prefix, record.key)
    base = record.revision - record.first - len(record.bodies)
    for first in range(0, record.first, AT_ONCE):
        stop = min(first + AT_ONCE, record.first)
        pipeline = client.pipeline(transaction=False)
        pipeline.lrange(keys.events, first, stop - 1)
        pipeline.hget(keys.session, "b")
        found, now = pipeline.execute()
        if len(found) != stop - first or now is None or int(now) != base:
            raise SessionNotFoundError(f"{describe(record.key)} was deleted while it was read.")
        yield found


def set_time(client: Any, prefix: str, key: SessionKey, revision: int, seconds: float) -> None:
    """Sets a session's last_update_time, if it is still at this revision."""
    keys = SessionKeys.of(prefix, key)
    scripts.run(client, scripts.Call(scripts.SET_TIME, [keys.session], [revision, repr(seconds)]))


def _tags(client: Any, pattern: str) -> Iterator[str]:
    """Yields what stands in the braces of the keys that match."""
    for key in client.scan_iter(match=pattern, count=SCANNED):
        yield text(key).rpartition("{")[2].partition("}")[0]


def _glob(name: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\*?[]" else letter for letter in name)
