"""The app's state on a Redis Cluster, where it is in another slot than the session.

A delta to it is stored in the session's hash by the script call that stores the
event, and applied to the app's state by another; `backends.shared_deltas` describes how.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.damaged import damage_named
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, Field, SessionKeys
from adk_extra_sessions.backends.redis.reading import read_hash
from adk_extra_sessions.backends.redis.replies import (
    PendingDelta,
    Reply,
    StoredSession,
    fields,
    pending_delta,
    state_of,
    text,
    values,
)
from adk_extra_sessions.backends.redis.scripts import Argument
from adk_extra_sessions.backends.shared_deltas import merged
from adk_extra_sessions.records import AppendRequest, NewSession
from adk_extra_sessions.state_json import decode_value, encode_value

logger = logging.getLogger(__name__)


def pending_pairs(state: Mapping[str, str], name: str, ticket: int) -> list[Argument]:
    """Returns the fields that store an app delta in its session's hash, each followed by its value."""
    delta = encode_value("app:", {"ticket": ticket, "state": dict(state)})
    return [f"{Field.pending}{name}", delta, Field.has_pending, "1"]


def with_pending(app: Mapping[str, Reply], pending: Sequence[PendingDelta]) -> Mapping[str, Any]:
    """Returns the app's state with pending deltas applied to it, as a reader of their session must see it.

    Args:
        app: The fields of the app's state.
        pending: Changes of it that sessions still hold.
    """
    tickets = {name[len(Field.ticket) :]: int(value) for name, value in app.items() if name.startswith(Field.ticket)}
    decoded = [(one.ticket, {name: decode_value(value) for name, value in one.texts.items()}) for one in pending]
    return merged(values(app), tickets, decoded)[0]


@frozen
class SplitAppState:
    """What operations do with the app's state in addition to their script call for the session."""

    client: Any

    def before_create(self, keys: SessionKeys, new: NewSession) -> int:
        """Takes a ticket, if the session changes the app's state."""
        return self.take_ticket(keys.app) if new.state.app else 0

    def after_create(self, keys: SessionKeys, new: NewSession, ticket: int) -> Mapping[str, Any]:
        """Applies a new session's app state and returns what the app's state is then."""
        if new.state.app:
            self._apply_of(keys, ticket, new.state.app)
            self._remove(keys, [new.nonce])
        return state_of(read_hash(self.client, keys.app), keys.owner)

    def before_append(self, prefix: str, requests: Sequence[AppendRequest]) -> list[int | Exception]:
        """Takes tickets for the events of each request; returns the first, or the error that came instead."""
        counts = [sum(bool(event.state.app) for event in request.events) for request in requests]
        sharing = [at for at, count in enumerate(counts) if count]
        apps = [AppKeys.of(prefix, requests[at].key.app_name).state for at in sharing]
        calls = [scripts.Call(scripts.TAKE_TICKETS, [app], [counts[at]]) for at, app in zip(sharing, apps, strict=True)]
        tickets: list[int | Exception] = [0] * len(requests)
        for at, reply in zip(sharing, scripts.run_many(self.client, calls) if calls else [], strict=True):
            tickets[at] = reply if isinstance(reply, Exception) else int(reply) - counts[at] + 1
        return tickets

    def after_append(
        self, keys: SessionKeys, request: AppendRequest, revisions: Sequence[int], ticket: int, *, left: bool
    ) -> None:
        """Applies the app deltas of events just stored, and those that interrupted writers have left.

        Args:
            keys: The session's keys.
            request: The events.
            revisions: The script's reply; negative for an event that had been stored before. The delta
                of such a one has the ticket that was stored with it, or has been applied.
            ticket: The ticket of the first delta.
            left: Whether the session held deltas before.
        """
        done = []
        for event, revision in zip(request.events, revisions, strict=True):
            if event.state.app:
                if revision > 0:
                    self._apply_of(keys, ticket, event.state.app)
                    done.append(event.digest.hex())
                ticket += 1
        if done or left:
            self.apply_left(keys, self._remove(keys, done))

    def apply_left(self, keys: SessionKeys, flat: Sequence[Any]) -> None:
        """Applies changes that interrupted writers have left in a session, then removes them."""
        left = [pending_delta(text(name), value, keys.owner) for name, value in zip(flat[::2], flat[1::2], strict=True)]
        for one in left:
            self._apply_of(keys, one.ticket, one.texts)
        if left:
            self._remove(keys, [one.id for one in left])
            logger.info("%s: applied the app's state that another append had left.", keys.session)

    def read(self, keys: SessionKeys, stored: StoredSession) -> Mapping[str, Any]:
        """Returns the app's state as a reader of the session must see it."""
        reply = read_hash(self.client, keys.app)
        with damage_named(keys.owner):
            return with_pending(fields(reply), stored.pending)

    def take_ticket(self, app: str) -> int:
        """Takes one ticket."""
        return int(scripts.run(self.client, scripts.Call(scripts.TAKE_TICKETS, [app], [1])))

    def give_back(self, keys: SessionKeys) -> None:
        """Removes an app's state that was made by taking a ticket for a session that is gone."""
        scripts.run(self.client, scripts.Call(scripts.GIVE_BACK_TICKETS, [keys.app], []))

    def apply(self, app: str, ticket: int, texts: Mapping[str, str]) -> None:
        """Sets keys of the app's state, each only where it has a smaller ticket."""
        self._apply(app, ticket, texts, make=True)

    def _apply_of(self, keys: SessionKeys, ticket: int, texts: Mapping[str, str]) -> None:
        """The same for a change that a session holds; does nothing if app and session have been erased since.

        Where a failover has lost the app's state alone, the session is there.
        """
        if not self._apply(keys.app, ticket, texts, make=False) and self.client.exists(keys.session):
            self._apply(keys.app, ticket, texts, make=True)

    def _apply(self, app: str, ticket: int, texts: Mapping[str, str], *, make: bool) -> bool:
        pairs = [part for pair in texts.items() for part in pair]
        return bool(scripts.run(self.client, scripts.Call(scripts.APPLY, [app], [ticket, int(make), *pairs])))

    def _remove(self, keys: SessionKeys, ids: Sequence[str]) -> Sequence[Any]:
        """Removes deltas from a session; returns those it still holds."""
        found: Sequence[Any] = scripts.run(self.client, scripts.Call(scripts.REMOVE_PENDING, [keys.session], ids))
        return found
