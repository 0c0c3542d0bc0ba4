"""The app's state on a Redis Cluster, where it is in another slot than the session.

A delta to it is first recorded in the session's hash, by the very script call
that stores the event, then applied to the app's state, then struck out. A
record that a crash left behind is applied by whoever meets it, but never over
a newer value and never twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from adk_extra_sessions.codec import decode_value, encode_value
from adk_extra_sessions.records import EventRecord, NewSession
from adk_extra_sessions.stores.damaged import damage_named
from adk_extra_sessions.stores.redis import scripts
from adk_extra_sessions.stores.redis.keys import SessionKeys
from adk_extra_sessions.stores.redis.replies import (
    PendingDelta,
    StoredSession,
    fields,
    pending_delta,
    state_of,
    text,
    values,
)

logger = logging.getLogger(__name__)

RESCUE_AFTER = 60.0
"""Seconds after which a record's writer is presumed dead: longer than any call may take."""


def held(state: Mapping[str, str], name: str) -> list[str]:
    """Returns the field and value that record an app delta in its session's hash."""
    return [f"p:{name}", encode_value("app:", {"time": time.time(), "state": dict(state)})]


@frozen
class SplitAppState:
    """The second half of operations that change or read the app's state."""

    client: Any

    def before_create(self, keys: SessionKeys, new: NewSession) -> None:
        """Enters the user before the first session, so that no crash can hide it from lists."""
        self.client.sadd(keys.users, new.key.user_id)

    def after_create(self, keys: SessionKeys, new: NewSession) -> Mapping[str, Any]:
        """Applies a new session's app state and returns what the app's state is then."""
        if new.state.app:
            self._apply_recorded(keys, new.nonce, rescue=False)
        return state_of(self.client.hgetall(keys.app), keys.owner)

    def after_append(self, keys: SessionKeys, events: Sequence[EventRecord], repeated: Sequence[bool]) -> None:
        """Applies the app deltas of events just stored; of repeated ones never over a newer value."""
        for event, again in zip(events, repeated, strict=True):
            if event.state.app:
                self._apply_recorded(keys, event.digest.hex(), rescue=again)

    def read(self, keys: SessionKeys, stored: StoredSession) -> Mapping[str, Any]:
        """Returns the app's state as a reader of the session must see it."""
        for pending in stored.pending:
            if time.time() - pending.time > RESCUE_AFTER:
                self._apply(keys, pending, rescue=True)
                logger.info("%s: applied the app's state that an interrupted append had left.", keys.session)
        reply = self.client.hgetall(keys.app)
        with damage_named(keys.owner):
            found = fields(reply)
            state = values(found)
            for pending in stored.pending:
                for name, value in pending.texts.items():
                    if float(found.get(f"t:{name}", 0)) <= pending.time:
                        state[name] = decode_value(value)
        return state

    def apply_held(self, keys: SessionKeys, flat: Sequence[Any]) -> None:
        """Applies the records of a session that is about to be deleted."""
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            self._apply(keys, pending_delta(text(name)[2:], value, keys.owner), rescue=True)

    def _apply_recorded(self, keys: SessionKeys, name: str, *, rescue: bool) -> None:
        value = self.client.hget(keys.session, f"p:{name}")
        if value is not None:  # else it has been applied: the event was a repeated one
            self._apply(keys, pending_delta(name, value, keys.owner), rescue=rescue)

    def _apply(self, keys: SessionKeys, pending: PendingDelta, *, rescue: bool) -> None:
        arguments: list[Any] = [pending.id, repr(pending.time), int(rescue)]
        for name, value in pending.texts.items():
            arguments += (name, value)
        scripts.run(self.client, scripts.Call(scripts.APPLY, [keys.app], arguments))
        self.client.hdel(keys.session, f"p:{pending.id}")
