"""Keeping histories decoded in memory, so that a session that is loaded again reads and decodes only newer events."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter

from attrs import field, frozen
from cachetools import LRUCache
from google.adk.events import Event

from adk_extra_sessions.abilities import reads_parts
from adk_extra_sessions.backends.base import Backend, ReadsParts
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.forks import reset_after_fork
from adk_extra_sessions.history.loading import Loaded
from adk_extra_sessions.history.outline import Part
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import SessionKey

OVERLAP = 8
"""Newest of the kept events that are read again: they must be stored as they were."""

AT_ONCE = 16
"""Events that the first read asks for, to have all new ones mostly. On MongoDB, one document has the newest 24."""


@frozen
class _Kept:
    """The events of a session, decoded; the sessions that were loaded have the same objects.

    Attributes:
        start_revision: The revision at the session's creation; no other session has it.
        first: The position of the first event.
        newest: Of the newest events, at most `OVERLAP`, the positions and the digests of their bodies.
        size: Bytes of all bodies.
    """

    start_revision: int
    first: int
    events: Sequence[Event] = field(default=(), repr=False)
    newest: Mapping[int, bytes] = field(factory=dict)
    size: int = 0

    @property
    def end(self) -> int:
        """The position of the next event."""
        return self.first + len(self.events)

    def continues_in(self, part: Part) -> bool:
        """Whether what was read is the same history, with or without newer events."""
        same_session = (part.start_revision, part.first) == (self.start_revision, self.first)
        return same_session and self.newest.items() <= _digests(_bodies(part), part.end).items()


class EventCache:
    """Loads whole sessions, and keeps the histories of those that were loaded last. Safe to share between threads.

    What is kept is only used if the server still has its newest events; so
    nothing has to say when a session changes. All but the events is always read anew.

    Args:
        backend: Where sessions are stored.
        codec: The store's.
        size: Bytes of stored events to keep, at most.
    """

    def __init__(self, backend: ReadsParts, codec: Codec, size: int) -> None:
        self._backend = backend
        self._codec = codec
        self._size = size
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begins with nothing kept."""
        self._lock = threading.Lock()
        self._kept: LRUCache[SessionKey, _Kept] = LRUCache(self._size, attrgetter("size"))

    def load(self, key: SessionKey) -> Loaded | None:
        """Loads a session with all its events; None when there is none.

        Raises:
            CorruptRecordError: What is stored cannot be read.
        """
        with self._lock:
            kept = self._kept.get(key)
        part = self._backend.read_part(key, None, AT_ONCE if kept else None)
        if kept and part and part.end - kept.end > AT_ONCE - OVERLAP:
            part = self._backend.read_part(key, None, part.end - kept.end + OVERLAP)
        if kept and part and not kept.continues_in(part):
            kept, part = None, self._backend.read_part(key, None, None)
        if part is None:
            self.forget(key)
            return None
        history = self._extended(kept or _Kept(part.start_revision, part.first), part)
        self._keep(key, history)
        return Loaded(part.record, list(history.events), None)

    def forget(self, key: SessionKey) -> None:
        """Keeps nothing more of a session."""
        with self._lock:
            self._kept.pop(key, None)

    def forget_all(self, app_name: str, user_id: str | None) -> None:
        """Keeps nothing more of a user, or with None of an app."""
        with self._lock:
            keys = list(self._kept)
        for key in keys:
            if key.app_name == app_name and user_id in (None, key.user_id):
                self.forget(key)

    def _extended(self, kept: _Kept, part: Part) -> _Kept:
        """Adds the events that are not kept yet."""
        count = part.end - kept.end
        if not count:
            return kept
        new = _bodies(part)[-count:]
        events = [*kept.events, *self._codec.decode(new, part.record.key, kept.end)]
        newest = {**kept.newest, **_digests(new[-OVERLAP:], part.end)}
        newest = dict(list(newest.items())[-OVERLAP:])
        return _Kept(part.start_revision, part.first, events, newest, kept.size + sum(map(len, new)))

    def _keep(self, key: SessionKey, history: _Kept) -> None:
        with self._lock:
            self._kept.pop(key, None)
            if 0 < history.size <= self._size:
                self._kept[key] = history


def event_cache_of(backend: Backend, codec: Codec, options: StoreOptions) -> EventCache | None:
    """Returns the cache of a store; None if it has none.

    Raises:
        ConfigurationError: The backend reads no parts of histories.
    """
    return EventCache(reads_parts(backend), codec, options.cache_bytes) if options.cache_bytes else None


def _bodies(part: Part) -> list[bytes]:
    bodies = [body for run in part.runs for body in run.bodies]
    return [body.encode() if isinstance(body, str) else body for body in bodies]


def _digests(bodies: Sequence[bytes], end: int) -> dict[int, bytes]:
    """Returns the digests of bodies by position; the last one is just before `end`."""
    positions = range(end - len(bodies), end)
    return {at: blake2b(body, digest_size=12).digest() for at, body in zip(positions, bodies, strict=True)}
