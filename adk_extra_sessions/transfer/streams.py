"""Reading one session of any length: its head first, its events as a stream."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.codec import decode_events
from adk_extra_sessions.records import SessionKey, SessionRecord, Window
from adk_extra_sessions.sessions import session_of
from adk_extra_sessions.store import SessionStore

AT_ONCE = 200
"""Newest events read together with the session itself; most sessions have no more."""


@frozen
class StreamedSession:
    """A session whose events are read as they are asked for.

    Attributes:
        session: The session with its merged state, and without events.
        count: How many events it has.
        events: All of them, oldest first; can be gone through once.
    """

    session: Session
    count: int
    events: Iterator[Event]

    def close(self) -> None:
        """Lets go of the events that have not been asked for."""
        close = getattr(self.events, "close", None)
        if close is not None:
            close()


def stream_session(store: SessionStore, *, app_name: str, user_id: str, session_id: str) -> StreamedSession | None:
    """Reads a session in constant memory, as it was at one moment.

    What is appended while the events are gone through is not among them.

    Args:
        store: One of our stores.
        app_name: The app's name.
        user_id: The user's id.
        session_id: The session's id.

    Returns:
        The session, or None when there is none.

    Raises:
        CorruptRecordError: What is stored cannot be read.
        SessionNotFoundError: While the events are gone through: it was deleted meanwhile.
    """
    record = store.archive.read(SessionKey.of(app_name, user_id, session_id), Window(recent=AT_ONCE))
    if record is None:
        return None
    return StreamedSession(session_of(record, []), record.first + len(record.bodies), _events(store, record))


def _events(store: SessionStore, record: SessionRecord) -> Iterator[Event]:
    position = 0
    for bodies in store.archive.earlier(record) if record.first else ():
        yield from decode_events(bodies, record.key, position)
        position += len(bodies)
    yield from decode_events(record.bodies, record.key, record.first)
