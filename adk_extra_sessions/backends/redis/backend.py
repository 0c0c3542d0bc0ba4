"""Sessions on Redis: the verbs of a `Backend`, one script call each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis
from typing_extensions import override

from adk_extra_sessions.backends.base import Copyable, Examinable, TakesTurns, Target, stale_session
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.backends.redis import doctor, scripts, strays
from adk_extra_sessions.backends.redis.client import address_of, database_number
from adk_extra_sessions.backends.redis.history import FIRST_PAGE, History, older
from adk_extra_sessions.backends.redis.layout import AppKeys, SessionKeys, UserKeys
from adk_extra_sessions.backends.redis.listing import Listing
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.backends.redis.replies import StoredSession, checked, foreign_type_named, state_of, state_pairs
from adk_extra_sessions.backends.redis.scan import Scan
from adk_extra_sessions.backends.redis.scripts import Argument, Call
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState, pending_pairs
from adk_extra_sessions.backends.redis.turns import RedisTurns
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.codec import FORMAT, describe
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    EventRecord,
    NewSession,
    SessionKey,
    SessionRecord,
    SharedState,
    StateTexts,
    Window,
)

READS = 5
"""How often to read a session that is deleted and created again before all of it has been read."""

EVENTS = 500
"""Events that one round trip of a copy reads."""


class RedisBackend(TakesTurns, Copyable, Examinable):
    """Sessions on one Redis server, behind a Sentinel, or on a Redis Cluster.

    Args:
        client: A `redis.Redis` or `redis.RedisCluster`.
        server: What error messages call the server.
        owns_client: Whether closing the backend closes the client.
        prefix: What all keys begin with.
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
        refresh_on_read: Whether reading a session renews its expiry too.
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
        self._scan = Scan(client, prefix)
        # On a cluster the app's state is in a slot of its own, out of a script's reach.
        self._split = SplitAppState(client) if isinstance(client, redis.RedisCluster) else None

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
        keys = SessionKeys.of(self.prefix, new.key)
        users = self._users(new.key)
        with foreign_type_named(new.key):
            ticket = 0
            if self._split:  # entered before, so that no crash can hide the user from lists
                users.enter(new.key.user_id, self.ttl_ms)
                ticket = self._split.before_create(keys, new)
            reply = self._run(self.create_call(new, ticket), new.key, self.replication)
            if int(reply[0]) == 0:
                return None
            users.look_after_overdue(reply[3])
            app_state = self._split.after_create(keys, new, ticket) if self._split else state_of(reply[2], new.key)
            return SharedState(app_state, state_of(reply[1], new.key))

    def create_call(self, new: NewSession, ticket: int) -> Call:
        """Returns the script call that creates a session; `ticket` is that of its app state on a cluster."""
        keys = SessionKeys.of(self.prefix, new.key)
        created, revision = repr(new.created), new.revision
        session: list[Argument] = [
            "v",
            FORMAT,
            "n",
            new.nonce,
            "b",
            revision,
            "r",
            revision,
            "c",
            created,
            "t",
            created,
        ]
        session += state_pairs(new.state.session)[1:]
        names = [keys.session, keys.events, keys.index, keys.user]
        app: list[Argument] = [0]
        if self._split is None:
            names += [keys.app, keys.users]
            app = state_pairs(new.state.app)
        elif new.state.app:
            session += pending_pairs(new.state.app, new.nonce, ticket)
        arguments = [new.nonce, self.ttl_ms, created, keys.user_name, len(session) // 2, *session]
        return Call(scripts.CREATE, names, [*arguments, *state_pairs(new.state.user), *app])

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        for _ in range(READS - 1):
            with suppress(SessionNotFoundError):  # deleted while it was read: there is none now, or another one
                return self._read_once(key, window)
        return self._read_once(key, window)

    def _read_once(self, key: SessionKey, window: Window) -> SessionRecord | None:
        keys = SessionKeys.of(self.prefix, key)
        first, last = _range(window)
        ttl_ms = self.ttl_ms if self.refresh_on_read else 0
        names = [keys.session, keys.events, keys.index, keys.user] + ([] if self._split else [keys.app])
        reply = self._run(Call(scripts.READ, names, [first, last, ttl_ms]), key)
        if not reply:
            return None
        stored = StoredSession.of(reply[0], key)
        if int(reply[2]) != stored.count:
            raise CorruptRecordError(f"{describe(key)}: {stored.count} events are recorded, {reply[2]} are there.")
        with foreign_type_named(key):
            app = self._split.read(keys, stored) if self._split else state_of(reply[4], key)
        shared = SharedState(app, state_of(reply[3], key))
        bodies = list(reply[1])
        if window.after is not None and bodies:
            wanted = min(stored.count, window.recent if window.recent is not None else stored.count)
            bodies = older(self.client, keys, stored, bodies, wanted, window.after) + bodies
        return SessionRecord(
            key, stored.revision, stored.last_update_time, stored.state, shared, bodies, stored.count - len(bodies)
        )

    @override
    def pages(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Sequence[SessionRecord]]:
        listing = Listing(self.client, self.prefix, app_name, page_size, self._split is not None)
        return listing.of_app() if user_id is None else listing.of_users([user_id])

    @override
    def delete(self, key: SessionKey) -> None:
        keys = SessionKeys.of(self.prefix, key)
        names = [keys.session, keys.events, keys.index] + ([] if self._split else [keys.users])
        with foreign_type_named(key):
            call = Call(scripts.DELETE, names, [keys.user_name])
            last, pending = self._run(call, key, self.replication)
            while self._split and pending:
                self._split.apply_left(keys, pending)
                last, pending = self._run(call, key, self.replication)
            if self._split and last:
                self._users(key).look_after_gone(key.user_id)

    @override
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        user = SessionKey(app_name, user_id, "")
        with foreign_type_named(user):
            return state_of(self.client.hgetall(UserKeys.of(self.prefix, app_name, user_id).state), user)

    @override
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        tickets: list[int | Exception] = [0] * len(requests)
        if self._split:
            tickets = self._split.before_append(self.prefix, requests)
        calls = [
            self.append_call(request, ticket)
            for request, ticket in zip(requests, tickets, strict=True)
            if isinstance(ticket, int)
        ]
        replies = iter(scripts.run_many(self.client, calls, self.replication) if calls else ())
        return [
            self._outcome(request, next(replies), ticket)
            if isinstance(ticket, int)
            else self._outcome(request, ticket, 0)
            for request, ticket in zip(requests, tickets, strict=True)
        ]

    def append_call(self, request: AppendRequest, ticket: int) -> Call:
        """Returns the script call that appends events; `ticket` is that of their first app delta on a cluster."""
        keys = SessionKeys.of(self.prefix, request.key)
        names = [keys.session, keys.events, keys.index]
        if any(event.state.user for event in request.events):
            names.append(keys.user)
        if not self._split and any(event.state.app for event in request.events):
            names.append(keys.app)
        arguments: list[Argument] = [_condition(request), self.ttl_ms]
        for event in request.events:
            arguments += self._event_arguments(event, ticket)
            ticket += bool(event.state.app)
        return Call(scripts.APPEND, names, arguments)

    def _event_arguments(self, event: EventRecord, ticket: int) -> list[Argument]:
        session, app = state_pairs(event.state.session), state_pairs(event.state.app)
        if self._split and event.state.app:
            pending = pending_pairs(event.state.app, event.digest.hex(), ticket)
            session = [len(event.state.session) + len(pending) // 2, *session[1:], *pending]
            app = [0]
        return [repr(event.timestamp), event.body, *session, *state_pairs(event.state.user), *app]

    def _outcome(self, request: AppendRequest, reply: Any, ticket: int) -> AppendOutcome:
        key = request.key
        try:
            status, *revisions = map(int, checked(reply, key))
            if status == 0:
                return AppendOutcome(error=SessionNotFoundError(f"Session {key.session_id!r} not found."))
            if status == -1:
                return AppendOutcome(error=stale_session(key))
            if status == -2:
                damaged = CorruptRecordError(f"{describe(key)} is damaged, foreign or from a newer version.")
                return AppendOutcome(error=damaged)
            if self._split:
                keys = SessionKeys.of(self.prefix, key)
                with foreign_type_named(key):
                    self._split.after_append(keys, request, revisions, ticket, left=status == 2)
        except Exception as error:
            return AppendOutcome(error=error)
        return AppendOutcome([abs(revision) for revision in revisions])

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
        self.client.hset(key, mapping={f"s:{name}": value for name, value in texts.items()})

    @override
    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        keys = SessionKeys.of(self.prefix, record.key)
        history = History(self.client, keys, record.revision - record.first - len(record.bodies))
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

    def _users(self, key: SessionKey) -> UserIndex:
        return UserIndex(self.client, self.prefix, key.app_name)

    def _run(self, call: Call, key: SessionKey, wait: Replication = scripts.NO_WAIT) -> Any:
        return checked(scripts.run_many(self.client, [call], wait)[0], key)


def _condition(request: AppendRequest) -> str:
    if request.expected is not None:
        return f"={request.expected}"
    return "*" if request.not_after is None else f"<{request.not_after!r}"


def _range(window: Window) -> tuple[int, int]:
    recent = window.recent
    if recent == 0:
        return 1, 0
    if window.after is not None:
        recent = FIRST_PAGE if recent is None else min(recent, FIRST_PAGE)
    return (0, -1) if recent is None else (-recent, -1)
