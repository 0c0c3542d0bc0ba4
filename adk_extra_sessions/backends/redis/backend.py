"""Sessions on Redis: the methods of a `Backend`, one script call each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis
from typing_extensions import override

from adk_extra_sessions.backends.base import Copyable, Erasable, Examinable, Managed, ReadsParts, TakesTurns, Target
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.backends.redis import doctor, scripts, strays
from adk_extra_sessions.backends.redis.appending import Appending
from adk_extra_sessions.backends.redis.client import address_of, database_number
from adk_extra_sessions.backends.redis.erasing import Erasing
from adk_extra_sessions.backends.redis.history import History
from adk_extra_sessions.backends.redis.layout import AppKeys, Field, SessionKeys, UserKeys
from adk_extra_sessions.backends.redis.lifecycle import Lifecycle
from adk_extra_sessions.backends.redis.parts import outline_call, part_call, part_of
from adk_extra_sessions.backends.redis.reading import read_hash
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.backends.redis.replies import (
    SessionReply,
    StoredSession,
    checked,
    foreign_type_named,
    state_of,
)
from adk_extra_sessions.backends.redis.scan import Scan
from adk_extra_sessions.backends.redis.scripts import Call
from adk_extra_sessions.backends.redis.session_queries import SessionQueries
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState
from adk_extra_sessions.backends.redis.turns import RedisTurns
from adk_extra_sessions.details import Changes, SessionDetails
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.history.outline import NewOutline, OutlineName, Part
from adk_extra_sessions.queries import RecordPage, SessionQuery
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    Erased,
    NewSession,
    SessionKey,
    SessionRecord,
    Window,
)
from adk_extra_sessions.state import SharedState, StateTexts

EVENTS = 500
"""Events that one round trip of a copy reads."""


class RedisBackend(TakesTurns, ReadsParts, Managed, Erasable, Copyable, Examinable):
    """Sessions on one Redis server, behind a Sentinel, or on a Redis Cluster.

    Args:
        client: A `redis.Redis` or `redis.RedisCluster`.
        server: The server's name in error messages.
        owns_client: Whether closing the backend closes the client.
        prefix: The prefix of all keys.
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
        refresh_on_read: Whether reading a session starts its `ttl` again, like a write.
        replication: Which replicas must have a write before it counts as stored.
    """

    driver_error = redis.RedisError

    def __init__(
        self,
        client: Any,
        server: str,
        *,
        owns_client: bool,
        prefix: str,
        ttl_ms: int,
        refresh_on_read: bool,
        replication: Replication,
    ) -> None:
        self.client = client
        self.server = server
        self.owns_client = owns_client
        self.prefix = prefix
        self.ttl_ms = ttl_ms
        self.refresh_on_read = refresh_on_read
        self.replication = replication
        self.target = Target("redis", database_number(client))
        self.turns = RedisTurns(client, prefix)
        # On a cluster the app's state is in a slot of its own, out of a script's reach.
        self._split = SplitAppState(client) if isinstance(client, redis.RedisCluster) else None
        self._scan = Scan(client, prefix)
        self._queries = SessionQueries(client, prefix, self._split is not None)
        self.lifecycle = Lifecycle(client, prefix, ttl_ms, replication, self._split)
        self.appending = Appending(client, prefix, ttl_ms, replication, self._split)

    @override
    def server_address(self) -> tuple[str, int | None] | None:
        return address_of(self.client)

    @override
    def ping(self) -> None:
        self.client.ping()

    @override
    def close(self) -> None:
        if self.owns_client:
            self.client.close()
            self.client.connection_pool.disconnect()

    @override
    def create(self, new: NewSession) -> SharedState | None:
        return self.lifecycle.create(new)

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        recent = "" if window.recent is None else window.recent
        after = "" if window.after is None else repr(window.after)
        reply = self._run(Call(scripts.READ, self._read_keys(key), [recent, after, self._refreshed_ttl_ms]), key)
        if not reply:
            return None
        found = SessionReply(*reply)
        return self._record(key, found, found.events)

    @override
    def read_part(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> Part | None:
        reply = self._run(part_call(self._read_keys(key), name, recent, self._refreshed_ttl_ms), key)
        if not reply:
            return None
        found = SessionReply(*reply)
        return part_of(found, self._record(key, found, ()), name)

    @override
    def store_outline(self, key: SessionKey, new: NewOutline) -> None:
        self._run(outline_call(SessionKeys.of(self.prefix, key), new), key)

    @property
    def _refreshed_ttl_ms(self) -> int:
        return self.ttl_ms if self.refresh_on_read else 0

    def _read_keys(self, key: SessionKey) -> list[str]:
        keys = SessionKeys.of(self.prefix, key)
        return [keys.session, keys.events, keys.index, keys.user] + ([] if self._split else [keys.app])

    def _record(self, key: SessionKey, reply: SessionReply, bodies: Sequence[bytes | str]) -> SessionRecord:
        """Makes the record of a session that was read, with its newest events."""
        stored = StoredSession.of(reply.session, reply.expires_at, key)
        if int(reply.length) != 2 * stored.event_count:
            raise CorruptRecordError(f"{key}: of its {stored.event_count} events, some are missing.")
        keys = SessionKeys.of(self.prefix, key)
        with foreign_type_named(key):
            app = self._split.read(keys, stored) if self._split else state_of(reply.app, key)
        return SessionRecord(
            key,
            stored.revision,
            stored.last_update_time,
            stored.state,
            SharedState(user=state_of(reply.user, key), app=app),
            bodies,
            stored.first_position + stored.event_count - len(bodies),
            stored.details,
            stored.start_revision,
        )

    @override
    def list(self, query: SessionQuery) -> RecordPage:
        return self._queries.page(query)

    @override
    def count(self, query: SessionQuery) -> int:
        return self._queries.count(query)

    @override
    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        return self.lifecycle.update(key, changes)

    @override
    def delete(self, key: SessionKey) -> None:
        self.lifecycle.delete(key)

    @override
    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        return self.lifecycle.delete(key, str(revision))

    @override
    def erase(self, app_name: str, user_id: str | None) -> Erased:
        return Erasing(self.client, self.prefix).erase(app_name, user_id)

    @override
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        user = SessionKey(app_name, user_id, "")
        with foreign_type_named(user):
            return state_of(read_hash(self.client, UserKeys.of(self.prefix, app_name, user_id).state), user)

    @override
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        return self.appending.append(requests)

    @override
    def app_names(self) -> Iterator[str]:
        return self._scan.app_names()

    @override
    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        return self._scan.session_keys(app_name, user_id)

    @override
    def app_state(self, app_name: str) -> Mapping[str, Any]:
        return self._scan.app_state(app_name)

    @override
    def user_states(self, app_name: str, user_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return self._scan.user_states(app_name, user_id)

    @override
    def write_shared_state(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        if texts.user:
            self._write_fields(UserKeys.of(self.prefix, app_name, user_id).state, texts.user)
        app = AppKeys.of(self.prefix, app_name).state
        if texts.app and self._split:  # there each value has a ticket beside it
            self._split.apply(app, self._split.take_ticket(app), texts.app)
        elif texts.app:
            self._write_fields(app, texts.app)

    def _write_fields(self, key: str, texts: Mapping[str, str]) -> None:
        self.client.hset(key, mapping={f"{Field.state}{name}": value for name, value in texts.items()})

    @override
    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        keys = SessionKeys.of(self.prefix, record.key)
        history = History(self.client, keys, record.start_revision)
        for first in range(0, record.first, EVENTS):
            yield history.page(first, min(first + EVENTS, record.first) - 1)

    @override
    def set_time(self, key: SessionKey, revision: int, time: float) -> None:
        keys = SessionKeys.of(self.prefix, key)
        scripts.run(self.client, scripts.Call(scripts.SET_TIME, [keys.session, keys.index], [revision, repr(time)]))

    @override
    def discard(self, key: SessionKey) -> None:
        self.delete(key)

    @override
    def findings(self) -> Iterator[Finding]:
        return doctor.findings(self.client)

    @override
    def strays(self) -> Iterator[Finding]:
        yield from strays.strays(self.client, self.prefix)
        keys = (key for app_name in self.app_names() for key in self.session_keys(app_name, None))
        yield from strays.lost(self.client, self.prefix, keys)

    def _run(self, call: Call, key: SessionKey) -> Any:
        return checked(scripts.run_many(self.client, [call])[0], key)
