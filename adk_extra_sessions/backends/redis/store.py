"""Sessions on Redis: the primitives of `SessionStore`, one script call each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

import redis

from adk_extra_sessions.appends import stale_session
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.client import (
    address_of,
    checked_client,
    checked_prefix,
    database_number,
    make_client,
    server_of,
)
from adk_extra_sessions.backends.redis.history import FIRST_PAGE, older
from adk_extra_sessions.backends.redis.layout import SessionKeys, UserKeys
from adk_extra_sessions.backends.redis.listing import Listing
from adk_extra_sessions.backends.redis.portable import PortableOnRedis
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.backends.redis.replies import StoredSession, checked, foreign_type_named, state_of, state_pairs
from adk_extra_sessions.backends.redis.scripts import Argument, Call
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState, pending_pairs
from adk_extra_sessions.backends.redis.turns import RedisTurns
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.codec import FORMAT, describe
from adk_extra_sessions.driver_errors import DriverErrors
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    EventRecord,
    NewSession,
    SessionKey,
    SessionRecord,
    SharedState,
    Window,
)
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.telemetry import Target
from adk_extra_sessions.urls import exactly_one, flag, joined, take_options

READS = 5
"""How often to read a session that is deleted and created again before all of it has been read."""

OPTIONS = ("prefix", "ttl", "refresh_on_read", "wait_replicas", "wait_timeout", "on_stale", "unserializable")


class RedisSessionStore(PortableOnRedis, SessionStore):
    """A blocking session store on Redis, for scripts and notebooks.

    `RedisSessionService` is the same for a `Runner`.

    Args:
        redis_url: `redis://`, `rediss://` or `unix://` as redis-py takes it,
            or `fakeredis://NAME` for an in-process fake. The options below
            may ride in its query string.
        client: Instead of a URL, a `redis.Redis` (a Sentinel's `master_for`
            too) or `redis.RedisCluster`. It is never closed by this store.
        prefix: What all keys begin with.
        ttl: Seconds, a timedelta or a text such as "30d" after its last
            write at which a session expires. None: never.
        refresh_on_read: Whether reading a session renews its expiry too.
        wait_replicas: How many replicas must have a write before it counts
            as stored. None: it need not leave the master.
        wait_timeout: How long to wait for them, as for `ttl`; None for 2 seconds.
        on_stale: "raise" or "append", see `StoreOptions`.
        unserializable: "raise" or "coerce", see `StoreOptions`.
        **from_url_options: Passed to `redis.Redis.from_url`.

    Raises:
        ConfigurationError: A wrong URL or option.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        client: redis.Redis | redis.RedisCluster | None = None,
        prefix: str | None = None,
        ttl: float | timedelta | str | None = None,
        refresh_on_read: bool | None = None,
        wait_replicas: int | None = None,
        wait_timeout: float | timedelta | str | None = None,
        on_stale: Literal["raise", "append"] | None = None,
        unserializable: Literal["raise", "coerce"] | None = None,
        **from_url_options: Any,
    ) -> None:
        exactly_one(redis_url=redis_url, client=client)
        given = dict(
            prefix=prefix,
            ttl=ttl,
            refresh_on_read=refresh_on_read,
            wait_replicas=wait_replicas,
            wait_timeout=wait_timeout,
            on_stale=on_stale,
            unserializable=unserializable,
        )
        self._arguments = {"redis_url": redis_url, **given, **from_url_options}
        self._owns_client = client is None
        url, taken = take_options(redis_url, OPTIONS) if isinstance(redis_url, str) else (redis_url, {})
        options = joined(taken, given)
        self.prefix: str = checked_prefix(options.get("prefix", "adk"))
        self.refresh_on_read: bool = flag("refresh_on_read", options.get("refresh_on_read"))
        store_options = StoreOptions.of(options)
        self.client: Any = checked_client(client) if client is not None else make_client(str(url), from_url_options)
        place = redact(url) if self._owns_client else server_of(self.client)
        super().__init__(store_options, DriverErrors(redis.RedisError, place))
        self._wait = Replication.of(self.client, options.get("wait_replicas"), options.get("wait_timeout"))
        self._target: Target = Target("redis", database_number(self.client))
        self._turns = RedisTurns(self.client, self.prefix, lambda: self._operation("turn"))
        # On a cluster the app's state is in a slot of its own, out of a script's reach.
        split = isinstance(self.client, redis.RedisCluster)
        self._split = SplitAppState(self.client) if split else None

    def __repr__(self) -> str:
        place = redact(self._arguments["redis_url"]) if self._owns_client else "client given"
        return f"{type(self).__name__}({place!r}, prefix={self.prefix!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._owns_client:
            raise TypeError(f"A {type(self).__name__} made from a client cannot be pickled: give it a redis_url.")
        return _rebuilt, (type(self), self._arguments)

    def server_address(self) -> tuple[str, int | None] | None:
        return address_of(self.client)

    def _ping(self) -> None:
        self.client.ping()

    def _close(self) -> None:
        if self._owns_client:
            self.client.close()
            self.client.connection_pool.disconnect()

    def _insert(self, new: NewSession) -> SharedState | None:
        keys = SessionKeys.of(self.prefix, new.key)
        users = self._users(new.key)
        with foreign_type_named(new.key):
            ticket = 0
            if self._split:  # entered before, so that no crash can hide the user from lists
                users.enter(new.key.user_id, self.options.ttl_ms)
                ticket = self._split.before_create(keys, new)
            reply = self._run(self._create_call(new, ticket), new.key, self._wait)
            if int(reply[0]) == 0:
                return None
            users.look_after_overdue(reply[3])
            app_state = self._split.after_create(keys, new, ticket) if self._split else state_of(reply[2], new.key)
            return SharedState(app_state, state_of(reply[1], new.key))

    def _create_call(self, new: NewSession, ticket: int) -> Call:
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
        arguments = [new.nonce, self.options.ttl_ms, created, keys.user_name, len(session) // 2, *session]
        return Call(scripts.CREATE, names, [*arguments, *state_pairs(new.state.user), *app])

    def _read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        for _ in range(READS - 1):
            with suppress(SessionNotFoundError):  # deleted while it was read: there is none now, or another one
                return self._read_once(key, window)
        return self._read_once(key, window)

    def _read_once(self, key: SessionKey, window: Window) -> SessionRecord | None:
        keys = SessionKeys.of(self.prefix, key)
        first, last = _range(window)
        ttl_ms = self.options.ttl_ms if self.refresh_on_read else 0
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

    def _pages(self, app_name: str, user_id: str | None, page_size: int) -> Iterator[Sequence[SessionRecord]]:
        listing = Listing(self.client, self.prefix, app_name, page_size, self._split is not None)
        return listing.of_app() if user_id is None else listing.of_users([user_id])

    def _delete(self, key: SessionKey) -> None:
        keys = SessionKeys.of(self.prefix, key)
        names = [keys.session, keys.events, keys.index] + ([] if self._split else [keys.users])
        with foreign_type_named(key):
            call = Call(scripts.DELETE, names, [keys.user_name])
            last, pending = self._run(call, key, self._wait)
            while self._split and pending:
                self._split.apply_left(keys, pending)
                last, pending = self._run(call, key, self._wait)
            if self._split and last:
                self._users(key).look_after_gone(key.user_id)

    def _user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        user = SessionKey(app_name, user_id, "")
        with foreign_type_named(user):
            return state_of(self.client.hgetall(UserKeys.of(self.prefix, app_name, user_id).state), user)

    def _append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        tickets: list[int | Exception] = [0] * len(requests)
        if self._split:
            tickets = self._split.before_append(self.prefix, requests)
        calls = [
            self._append_call(request, ticket)
            for request, ticket in zip(requests, tickets, strict=True)
            if isinstance(ticket, int)
        ]
        replies = iter(scripts.run_many(self.client, calls, self._wait) if calls else ())
        return [
            self._outcome(request, next(replies), ticket)
            if isinstance(ticket, int)
            else self._outcome(request, ticket, 0)
            for request, ticket in zip(requests, tickets, strict=True)
        ]

    def _append_call(self, request: AppendRequest, ticket: int) -> Call:
        keys = SessionKeys.of(self.prefix, request.key)
        names = [keys.session, keys.events, keys.index]
        if any(event.state.user for event in request.events):
            names.append(keys.user)
        if not self._split and any(event.state.app for event in request.events):
            names.append(keys.app)
        arguments: list[Argument] = [_condition(request), self.options.ttl_ms]
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


def _rebuilt(cls: type[RedisSessionStore], arguments: dict[str, Any]) -> RedisSessionStore:
    return cls(**arguments)
