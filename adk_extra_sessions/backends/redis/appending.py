"""Appending events on Redis: requests to script calls, and replies to outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.base import stale_session
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.backends.redis.replies import checked, foreign_type_named, state_pairs
from adk_extra_sessions.backends.redis.scripts import Argument, Call
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState, pending_pairs
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.records import AppendOutcome, AppendRequest, EventRecord

GONE, STALE, DAMAGED, HOLDS_PENDING = 0, -1, -2, 2
"""What append.lua begins its reply with, beside 1."""


@frozen
class Appending:
    """Appends to sessions below a prefix; see `RedisBackend` for the attributes.

    Attributes:
        split: The app's state, where a script cannot reach it together with the session.
    """

    client: Any
    prefix: str
    ttl_ms: int
    replication: Replication
    split: SplitAppState | None

    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        """Stores all requests, in one round trip where no app state is split."""
        tickets: list[int | Exception] = [0] * len(requests)
        if self.split:
            tickets = self.split.before_append(self.prefix, requests)
        calls = [
            self.call(request, ticket)
            for request, ticket in zip(requests, tickets, strict=True)
            if isinstance(ticket, int)
        ]
        replies = iter(scripts.run_many(self.client, calls, self.replication) if calls else ())
        return [self._outcome(*one, replies) for one in zip(requests, tickets, strict=True)]

    def call(self, request: AppendRequest, ticket: int) -> Call:
        """Returns the script call of a request; `ticket` is that of its first change of split app state."""
        keys = SessionKeys.of(self.prefix, request.key)
        names = [keys.session, keys.events, keys.index]
        if any(event.state.user for event in request.events):
            names.append(keys.user)
        if not self.split and any(event.state.app for event in request.events):
            names.append(keys.app)
        arguments: list[Argument] = [_condition(request), self.ttl_ms, request.long_running or ""]
        for event in request.events:
            arguments += self._event_arguments(event, ticket)
            ticket += bool(event.state.app)
        return Call(scripts.APPEND, names, arguments)

    def _event_arguments(self, event: EventRecord, ticket: int) -> list[Argument]:
        digest = event.digest.hex()
        own, user, app = (state_pairs(one) for one in (event.state.session, event.state.user, event.state.app))
        if self.split and app:
            own, app = own + pending_pairs(event.state.app, digest, ticket), []
        pairs = own + user + app
        counts = f"{len(own) // 2} {len(user) // 2} {len(app) // 2}" if pairs else ""
        return [repr(event.timestamp), digest, event.body, counts, *pairs]

    def _outcome(self, request: AppendRequest, ticket: int | Exception, replies: Iterator[Any]) -> AppendOutcome:
        key = request.key
        try:
            if isinstance(ticket, Exception):
                checked(ticket, key)
                return AppendOutcome(error=ticket)
            status, *revisions = map(int, checked(next(replies), key))
            if status == GONE:
                if self.split and ticket:
                    self.split.give_back(SessionKeys.of(self.prefix, key))
                return AppendOutcome(error=SessionNotFoundError(f"Session {key.session_id!r} not found."))
            if status == STALE:
                return AppendOutcome(error=stale_session(key))
            if status == DAMAGED:
                damaged = CorruptRecordError(f"{key} is damaged, or was stored by another program or version.")
                return AppendOutcome(error=damaged)
            if self.split:
                keys = SessionKeys.of(self.prefix, key)
                with foreign_type_named(key):
                    self.split.after_append(keys, request, revisions, ticket, left=status == HOLDS_PENDING)
        except Exception as error:
            return AppendOutcome(error=error)
        return AppendOutcome([abs(revision) for revision in revisions])


def _condition(request: AppendRequest) -> str:
    if request.expected is not None:
        return f"={request.expected}"
    return "*" if request.not_after is None else f"<{request.not_after!r}"
