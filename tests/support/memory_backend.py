"""A backend that keeps sessions in a dictionary: what CONTRIBUTING.md's page on backends leads to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field
from typing_extensions import override

from adk_extra_sessions.backends.base import Copyable, ReadsParts, TakesTurns, Target, stale_session
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.history.outline import NewOutline, Outline, OutlineName, Part, Run
from adk_extra_sessions.queries import Cursor, RecordPage, SessionQuery, checked_cursor
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    EventRecord,
    NewSession,
    SessionKey,
    SessionRecord,
    Window,
)
from adk_extra_sessions.state import SharedState, StateTexts
from adk_extra_sessions.state_json import decode_value
from adk_extra_sessions.turns.storage import TurnStorage

Texts = dict[str, str]


class DictionaryError(Exception):
    """What a driver would raise; a dictionary raises nothing."""


@define
class Stored:
    """A session as the dictionary holds it."""

    new: NewSession
    time: float
    state: Texts
    events: list[EventRecord] = field(factory=list)
    outlines: dict[OutlineName, Outline] = field(factory=dict)

    @property
    def revision(self) -> int:
        return self.new.revision + len(self.events)


LOOKED_AT = 50
"""Sessions that one call of `list` looks at, at most."""


class MemoryTurns(TurnStorage):
    driver_error = DictionaryError

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._texts: dict[SessionKey, str] = {}

    @override
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        return self._texts.get(key), time.time()

    @override
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        with self._lock:
            if self._texts.get(key) != old:
                return False
            self._texts.pop(key, None)
            if new is not None:
                self._texts[key] = new
            return True

    def erase(self, app_name: str, user_id: str | None) -> int:
        """Forgets the turns on the sessions of a user, or of an app; returns how many there were."""
        with self._lock:
            keys = [key for key in self._texts if key.app_name == app_name and user_id in (None, key.user_id)]
            for key in keys:
                del self._texts[key]
            return len(keys)


class MemoryBackend(TakesTurns, Copyable, ReadsParts):
    """Sessions in a dictionary of this process."""

    driver_error = DictionaryError
    server = "this process"
    target = Target("memory", "")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sessions: dict[SessionKey, Stored] = {}
        self._apps: dict[str, Texts] = {}
        self._users: dict[tuple[str, str], Texts] = {}
        self.turns: MemoryTurns = MemoryTurns(self._lock)

    @override
    def create(self, new: NewSession) -> SharedState | None:
        with self._lock:
            found = self._find(new.key)
            if found is None:
                self._sessions[new.key] = Stored(new, new.details.create_time, dict(new.state.session))
                self._written(self._sessions[new.key])
                self._apply(new.key, new.state)
            elif found.new.nonce != new.nonce:
                return None
            return self._shared(new.key)

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        with self._lock:
            found = self._find(key)
            if found is None:
                return None
            recent = len(found.events) if window.recent is None else min(window.recent, len(found.events))
            first = len(found.events) - recent
            return self._record(found, [event.body for event in found.events[first:]], first)

    @override
    def append(self, requests: Sequence[AppendRequest]) -> Sequence[AppendOutcome]:
        with self._lock:
            return [self._append(request) for request in requests]

    def _append(self, request: AppendRequest) -> AppendOutcome:
        found = self._find(request.key)
        if found is None:
            return AppendOutcome(error=SessionNotFoundError(f"Session {request.key.session_id!r} not found."))
        known = {event.digest: found.new.revision + place for place, event in enumerate(found.events, 1)}
        reached = request.expected
        revisions: list[int] = []
        new: list[EventRecord] = []
        for event in request.events:
            if event.digest in known:
                revisions.append(known[event.digest])
                if revisions[-1] - 1 == reached:
                    reached = revisions[-1]
                continue
            if not new and not self._is_allowed(request, found, reached, revisions):
                return AppendOutcome(error=stale_session(request.key))
            new.append(event)
            revisions.append(found.revision + len(new))
            known[event.digest] = revisions[-1]
        for event in new:
            found.events.append(event)
            found.state.update(event.state.session)
            found.time = event.timestamp
            self._written(found)
            self._apply(request.key, event.state)
        return AppendOutcome(revisions)

    def _is_allowed(self, request: AppendRequest, found: Stored, reached: int | None, known: list[int]) -> bool:
        if request.expected is not None:
            return reached == found.revision
        return request.not_after is None or found.time <= request.not_after or found.revision in known

    @override
    def read_part(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> Part | None:
        with self._lock:
            found = self._find(key)
            if found is None:
                return None
            outline = found.outlines.get(name) if name else None
            end = len(found.events)
            begin = max(0, end - recent) if recent is not None else outline.start if outline else 0
            ranges = [(first, min(last + 1, begin)) for first, last in outline.kept] if outline else []
            runs = [
                Run(first, [event.body for event in found.events[first:after]])
                for first, after in [*ranges, (begin, end)]
                if first < after
            ]
            long_running = sum(event.changes_waiting for event in found.events)
            newest = found.events[-1].digest if found.events else None
            return Part(self._record(found), found.new.revision, runs, 0, end, long_running, outline, newest)

    @override
    def store_outline(self, key: SessionKey, new: NewOutline) -> None:
        with self._lock:
            found = self._sessions.get(key)
            last = found.events[: new.outline.upto][-1:] if found else []
            if found and found.new.revision == new.start_revision and [one.digest for one in last] == [new.newest]:
                found.outlines[new.name] = new.outline

    @override
    def delete(self, key: SessionKey) -> None:
        with self._lock:
            self._sessions.pop(key, None)

    @override
    def list(self, query: SessionQuery) -> RecordPage:
        with self._lock:
            rows = sorted((_place(query, one), one.new.key) for one in self._alive(query.app_name, query.user_id))
            if query.order == "update_time desc":
                rows.reverse()
            after = query.after
            if after is not None:
                checked_cursor(after, str if query.order == "storage" else float, str)
                rows = [
                    row for row in rows if (row[0] < after if query.order == "update_time desc" else row[0] > after)
                ]
            looked_at = rows[:LOOKED_AT]
            chosen = []
            for place, key in looked_at:
                after = place
                if has_labels(self._sessions[key], query.labels):
                    chosen.append(self._record(self._sessions[key]))
                    if len(chosen) == query.size:
                        break
            return RecordPage(chosen, after if rows and after != rows[-1][0] else None)

    @override
    def user_state(self, app_name: str, user_id: str) -> Mapping[str, Any]:
        with self._lock:
            return decoded(self._users.get((app_name, user_id), {}))

    @override
    def ping(self) -> None: ...

    @override
    def close(self) -> None: ...

    @override
    def app_names(self) -> Iterator[str]:
        with self._lock:
            names = {key.app_name for key in self._sessions} | {*self._apps} | {app for app, _ in self._users}
        yield from sorted(names)

    @override
    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        with self._lock:
            keys = [key for key in self._sessions if key.app_name == app_name and user_id in (None, key.user_id)]
        yield from sorted(keys, key=lambda key: key.user_id)

    @override
    def app_state(self, app_name: str) -> Mapping[str, Any]:
        with self._lock:
            return decoded(self._apps.get(app_name, {}))

    @override
    def user_states(self, app_name: str, user_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        with self._lock:
            found = [
                (user, decoded(state))
                for (app, user), state in self._users.items()
                if app == app_name and user_id in (None, user)
            ]
        yield from found

    @override
    def write_shared_state(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        with self._lock:
            self._apply(SessionKey(app_name, user_id, ""), texts)

    @override
    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        with self._lock:
            found = self._find(record.key)
            if found is None:
                raise SessionNotFoundError(f"Session {record.key.session_id!r} not found.")
            bodies = [event.body for event in found.events[: record.first]]
        yield bodies

    @override
    def set_time(self, key: SessionKey, revision: int, time: float) -> None:
        with self._lock:
            found = self._find(key)
            if found is not None and found.revision == revision:
                found.time = time

    @override
    def discard(self, key: SessionKey) -> None:
        self.delete(key)

    def _alive(self, app_name: str, user_id: str | None) -> list[Stored]:
        keys = [key for key in self._sessions if key.app_name == app_name and user_id in (None, key.user_id)]
        return [found for key in keys if (found := self._find(key)) is not None]

    def _find(self, key: SessionKey) -> Stored | None:
        return self._sessions.get(key)

    def _written(self, found: Stored) -> None:
        """What else a write to a session changes."""

    def _apply(self, key: SessionKey, state: StateTexts) -> None:
        if state.app:
            self._apps.setdefault(key.app_name, {}).update(state.app)
        if state.user:
            self._users.setdefault((key.app_name, key.user_id), {}).update(state.user)

    def _shared(self, key: SessionKey) -> SharedState:
        return SharedState(
            user=self.user_state(key.app_name, key.user_id), app=decoded(self._apps.get(key.app_name, {}))
        )

    def _record(self, found: Stored, bodies: Sequence[bytes] = (), first: int = 0) -> SessionRecord:
        key = found.new.key
        return SessionRecord(key, found.revision, found.time, decoded(found.state), self._shared(key), bodies, first)


def decoded(texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values of some state, new ones each time: callers may change what they get."""
    return {name: decode_value(text) for name, text in texts.items()}


def _place(query: SessionQuery, found: Stored) -> Cursor:
    key = found.new.key
    return (key.user_id, key.session_id) if query.order == "storage" else (found.time, key.session_id)


def has_labels(found: Stored, labels: Mapping[str, str]) -> bool:
    """Whether a session has all of some labels."""
    return labels.items() <= found.new.details.labels.items()
