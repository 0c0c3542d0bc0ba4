"""The backend over a dictionary with the abilities to manage sessions and to erase."""

from __future__ import annotations

import time
from typing import Any

from attrs import asdict, evolve
from support.memory_backend import MemoryBackend, Stored, has_labels
from typing_extensions import override

from adk_extra_sessions.backends.base import Erasable, Managed
from adk_extra_sessions.details import UNSET, Changes, SessionDetails
from adk_extra_sessions.queries import SessionQuery
from adk_extra_sessions.records import Erased, SessionKey, SessionRecord


class ManagedMemoryBackend(MemoryBackend, Managed, Erasable):
    """Sessions in a dictionary of this process.

    Args:
        ttl_ms: Milliseconds after its last write at which a session expires; 0 for never.
    """

    def __init__(self, ttl_ms: int = 0) -> None:
        super().__init__()
        self.ttl_ms = ttl_ms
        self._expire_times: dict[SessionKey, float | None] = {}

    @override
    def count(self, query: SessionQuery) -> int:
        with self._lock:
            return sum(has_labels(one, query.labels) for one in self._alive(query.app_name, query.user_id))

    @override
    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        with self._lock:
            found = self._find(key)
            if found is None:
                return None
            changed = {name: value for name, value in asdict(changes, recurse=False).items() if value is not UNSET}
            found.new = evolve(found.new, details=evolve(found.new.details, **changed))
            if changes.lifetime is not UNSET:
                self._written(found)
            return self._details(found)

    @override
    def delete_unchanged(self, key: SessionKey, revision: int) -> bool:
        with self._lock:
            found = self._find(key)
            if found is None or found.revision != revision:
                return False
            self.delete(key)
            return True

    @override
    def erase(self, app_name: str, user_id: str | None) -> Erased:
        with self._lock:
            erased = Erased()
            for key in [key for key in self._sessions if key.app_name == app_name and user_id in (None, key.user_id)]:
                events = len(self._sessions.pop(key).events)
                self._expire_times.pop(key)
                erased += Erased(sessions=1, events=events, records=1)
            for user in [user for user in self._users if user[0] == app_name and user_id in (None, user[1])]:
                del self._users[user]
                erased += Erased(states=1, records=1)
            if user_id is None and self._apps.pop(app_name, None) is not None:
                erased += Erased(states=1, records=1)
            turns = self.turns.erase(app_name, user_id)
            return erased + Erased(turns=turns, records=turns)

    @override
    def _find(self, key: SessionKey) -> Stored | None:
        expire_time = self._expire_times.get(key)
        if expire_time is not None and expire_time <= time.time():
            self._sessions.pop(key, None)
        return super()._find(key)

    @override
    def _written(self, found: Stored) -> None:
        self._expire_times[found.new.key] = found.new.details.lifetime.expire_time_after(time.time(), self.ttl_ms)

    @override
    def _record(self, found: Stored, *events: Any) -> SessionRecord:
        return evolve(super()._record(found, *events), details=self._details(found))

    def _details(self, found: Stored) -> SessionDetails:
        return evolve(found.new.details, expire_time=self._expire_times[found.new.key])
