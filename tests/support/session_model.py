"""What a store must do, as plain lists and dictionaries: the other side of tests/reliability/test_model.py.

Revisions are counted as `100_000 * creation + events`, so none is ever met twice.
"""

from __future__ import annotations

import copy
from typing import Any

from attrs import define, field
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.errors import SessionNotFoundError, StaleSessionError
from adk_extra_sessions.records import SessionKey

State = dict[str, Any]


@define
class Stored:
    """A session in storage."""

    revision: int
    last_update_time: float
    state: State = field(factory=dict)
    events: list[Event] = field(factory=list)
    display_name: str | None = None
    labels: dict[str, str] = field(factory=dict)
    lifetime: dict[str, Any] = field(factory=dict)


@define
class Holder:
    """A live session, and beside it what it must be like.

    Attributes:
        revision: The one it stands for; None for a session that no store made.
    """

    key: SessionKey
    live: Session
    revision: int | None
    last_update_time: float
    state: State
    events: list[Event]


@define
class Model:
    """All sessions, and the state they share."""

    sessions: dict[SessionKey, Stored] = field(factory=dict)
    shared: dict[tuple[str, ...], State] = field(factory=dict)
    created: int = 0

    def create(self, key: SessionKey, state: State, time: float) -> None:
        self.created += 1
        self.sessions[key] = Stored(100_000 * self.created, time)
        self._apply(key, state)

    def append(self, holder: Holder, events: list[Event], *, strict: bool) -> type[Exception] | list[int]:
        """Stores all of the events, or none; returns the revision after each, or the error."""
        before, revisions = self.sessions.get(holder.key), []
        if before is None:
            return SessionNotFoundError
        after = copy.deepcopy(before)
        fresh: list[Event] = []
        at = holder.revision
        for event in map(without_temp, events):
            if event in after.events:
                revision = after.revision - len(after.events) + after.events.index(event) + 1
            else:
                current = at == after.revision if at is not None else after.last_update_time <= holder.last_update_time
                if strict and not current:
                    return StaleSessionError
                after.events.append(event)
                after.revision = revision = after.revision + 1
                after.last_update_time = event.timestamp
                fresh.append(event)
            revisions.append(revision)
            at = _moved(at, revision, strict)
        self.sessions[holder.key] = after
        for event in fresh:
            self._apply(holder.key, event.actions.state_delta)
        return revisions

    def state(self, key: SessionKey) -> State:
        """What a reader of the session sees."""
        app, user = self._scopes(key)
        prefixed = {f"app:{name}": value for name, value in app.items()}
        prefixed.update({f"user:{name}": value for name, value in user.items()})
        return {**self.sessions[key].state, **prefixed}

    def user_state(self, app_name: str, user_id: str) -> State:
        return self.shared.get((app_name, user_id), {})

    def listed(self, app_name: str, user_id: str | None) -> list[SessionKey]:
        keys = [key for key in self.sessions if key.app_name == app_name and user_id in (None, key.user_id)]
        return sorted(keys, key=lambda key: (self.sessions[key].last_update_time, key.user_id, key.session_id))

    def events(self, key: SessionKey, recent: int | None, after: float | None) -> list[Event]:
        found = self.sessions[key].events
        if recent is not None:
            found = found[max(0, len(found) - recent) :]
        return [event for event in found if after is None or event.timestamp >= after]

    def _apply(self, key: SessionKey, delta: State) -> None:
        app, user = self._scopes(key)
        for name, value in delta.items():
            if name.startswith("app:"):
                app[name[4:]] = value
            elif name.startswith("user:"):
                user[name[5:]] = value
            elif not name.startswith("temp:"):
                self.sessions[key].state[name] = value

    def _scopes(self, key: SessionKey) -> tuple[State, State]:
        return self.shared.setdefault((key.app_name,), {}), self.shared.setdefault((key.app_name, key.user_id), {})


def commit(holder: Holder, events: list[Event], revisions: list[int], *, strict: bool) -> list[bool]:
    """What acknowledged appends do to a live session; returns which events were new to it."""
    held, fresh = holder.revision, []
    has = {event.id for event in holder.events} if held is None else set()
    for event, revision in zip(events, revisions, strict=True):
        fresh.append(revision > (holder.revision or 0) and event.id not in has)
        holder.revision = _moved(holder.revision, revision, strict and held is not None)
        if fresh[-1]:
            holder.state.update(event.actions.state_delta)
            holder.events.append(without_temp(event))
            holder.last_update_time = event.timestamp
    return fresh


def without_temp(event: Event) -> Event:
    """Returns a copy of an event as it is stored."""
    copied = event.model_copy(deep=True)
    copied.actions.state_delta = {k: v for k, v in copied.actions.state_delta.items() if not k.startswith("temp:")}
    return copied


def _moved(at: int | None, revision: int, strict: bool) -> int:
    """Where a live session stands after an event: not beyond a gap that it knows nothing of."""
    if at is None or not strict or revision == at + 1:
        return max(at or 0, revision)
    return at
