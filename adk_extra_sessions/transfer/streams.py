"""Reads one session of any length: first the session itself, then its events as a stream."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.records import SessionKey, SessionRecord, Window
from adk_extra_sessions.session_records import session_of
from adk_extra_sessions.store import SessionStore

AT_ONCE = 200
"""How many of the newest events are read together with the session; most sessions have no more."""


@frozen
class StreamedSession:
    """A session whose events are read during iteration.

    Attributes:
        session: The session with its merged state, and without events.
        count: How many events it has.
        events: All of them, oldest first; can be iterated once.
    """

    session: Session
    count: int
    events: Iterator[Event]

    def close(self) -> None:
        """Skips the events that have not been read."""
        close = getattr(self.events, "close", None)
        if close is not None:
            close()


def stream_session(store: SessionStore, *, app_name: str, user_id: str, session_id: str) -> StreamedSession | None:
    """Reads a session in constant memory, as it is at the time of the call.

    Events that are appended during the iteration are not included.

    Args:
        store: A store of this package.
        app_name: The app's name.
        user_id: The user's id.
        session_id: The session's id.

    Returns:
        The session, or None if there is none.

    Raises:
        CorruptRecordError: What is stored cannot be read.
        SessionNotFoundError: During the iteration: the session was deleted meanwhile.
    """
    record = store.archive.read(SessionKey.of(app_name, user_id, session_id), Window(recent=AT_ONCE))
    if record is None:
        return None
    return StreamedSession(session_of(record, []), record.first + len(record.bodies), _events(store, record))


def _events(store: SessionStore, record: SessionRecord) -> Iterator[Event]:
    position = 0
    for bodies in store.archive.earlier(record) if record.first else ():
        yield from store.codec.decode(bodies, record.key, position)
        position += len(bodies)
    yield from store.codec.decode(record.bodies, record.key, record.first)
