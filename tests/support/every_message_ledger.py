"""What everybody tried to write, and what they were told: what test_every_message.py compares storage with.

Times are steps of a counter. An append whose outcome nobody was told may be
stored or not; all else follows from what the callers were told.
"""

from __future__ import annotations

import itertools
from typing import Any

from attrs import define, field
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions import SessionStore
from adk_extra_sessions.errors import AlreadyExistsError, SessionNotFoundError, StaleSessionError
from adk_extra_sessions.state import split
from adk_extra_sessions.transfer import restore_session

LATER = 1 << 60
"""The time of what has not ended."""

REFUSED = (StaleSessionError, SessionNotFoundError)


@define
class Write:
    """An event that somebody tried to append, or a session that somebody tried to create or delete.

    Attributes:
        text: The event's text, as no other event has it; "" for a session.
        session: The session's id, and how many were created under it before.
        delta: What it sets of the app's and the user's state.
        acknowledged: True when it was, False when it was refused, None when nobody knows.
        absent: Whether storage was seen without it.
    """

    text: str
    session: tuple[str, int]
    delta: dict[str, Any]
    started: int
    ended: int = LATER
    acknowledged: bool | None = None
    absent: bool = False


@define
class Ledger:
    """All writes of one user's sessions.

    Attributes:
        creations: For each session id, how many were created under it.
        deleted: For each session id, whether its newest one is certainly (True) or maybe (None) deleted.
        any_revision: Whether stores accept appends to sessions that were created again.
    """

    any_revision: bool = False
    writes: list[Write] = field(factory=list)
    creations: dict[str, int] = field(factory=dict)
    deleted: dict[str, bool | None] = field(factory=dict)
    states: dict[tuple[str, int], dict[str, Any]] = field(factory=dict)
    _deletes: dict[str, list[Write]] = field(factory=dict)
    _held: dict[int, tuple[Session, int]] = field(factory=dict)
    _clock: itertools.count[int] = field(factory=lambda: itertools.count(1))

    def create(self, store: SessionStore, state: dict[str, Any], **names: str) -> Session:
        session_id = names["session_id"]
        number = self.creations.get(session_id, 0)
        write = Write("", (session_id, number), _shared(state), next(self._clock))
        before = self.deleted.get(session_id)
        self.writes.append(write)
        self.states[write.session] = split(state).session
        self.creations[session_id], self.deleted[session_id] = number + 1, None
        try:
            live = store.create_session(**names, state=state)
            write.acknowledged = True
            if all(delete.ended < write.started for delete in self._deletes.get(session_id, ())):
                self.deleted[session_id] = False
        except AlreadyExistsError:
            write.acknowledged = False
            if self.creations[session_id] == number + 1:  # else somebody else was quicker
                self.creations[session_id], self.deleted[session_id] = number, before
            raise
        finally:
            write.ended = next(self._clock)
        self._held[id(live)] = (live, number)
        return live

    def hold(self, live: Session) -> Session:
        """Notes which creation of its id a live session is of."""
        self._held[id(live)] = (live, self.creations[live.id] - 1)
        return live

    def started(self, live: Session, event: Event) -> Write:
        """Notes that an append begins; a repetition belongs to the first try."""
        text, session = text_of(event), (live.id, self._held[id(live)][1])
        for write in self.writes:
            if write.text == text and write.session == session:
                return write
        self.writes.append(Write(text, session, _shared(event.actions.state_delta), next(self._clock)))
        return self.writes[-1]

    def ended(self, write: Write, outcome: object) -> None:
        """Notes what a caller was told; nothing that is known becomes unknown."""
        again = write.ended != LATER
        write.ended = next(self._clock)
        if not isinstance(outcome, BaseException):
            write.acknowledged = True
        elif again and isinstance(outcome, SessionNotFoundError):
            pass  # an earlier try may have been stored, and deleted with its session
        elif isinstance(outcome, REFUSED) and write.acknowledged is None:
            write.acknowledged = False

    def append(self, store: SessionStore, live: Session, *events: Event) -> list[Event | BaseException]:
        """Appends, and notes what came of it."""
        writes = [self.started(live, event) for event in events]
        outcomes: list[Event | BaseException] = [KeyboardInterrupt()] * len(events)
        try:
            outcomes = store.append_many((live, event) for event in events)
        finally:
            for write, outcome in zip(writes, outcomes, strict=True):
                self.ended(write, outcome)
        return outcomes

    def delete(self, store: SessionStore, **names: str) -> None:
        """Deletes a session; of one that is created meanwhile nobody knows whether it is deleted too."""
        session_id = names["session_id"]
        before = self.creations.get(session_id, 0)
        delete = Write("", (session_id, before), {}, next(self._clock))
        self._deletes.setdefault(session_id, []).append(delete)
        self.deleted[session_id] = None
        try:
            store.delete_session(**names)
        finally:
            delete.ended = next(self._clock)
        creating = any(one.session == (session_id, before - 1) and one.ended == LATER for one in self.writes)
        if self.creations.get(session_id, 0) == before and not creating:
            self.deleted[session_id] = True

    def restore(self, store: SessionStore, session: Session) -> None:
        """Restores a session whose events change no state."""
        place = (session.id, 0)
        if session.id not in self.creations:
            self.creations[session.id], self.states[place] = 1, session.state
            self.writes += [Write(text_of(one), place, {}, next(self._clock)) for one in session.events]
        self.deleted[session.id] = None
        restore_session(store, session, session.events)
        self.deleted[session.id] = False
        for write in self.writes:
            if write.session == place:
                write.acknowledged, write.ended = True, next(self._clock)


def text_of(event: Event) -> str:
    assert event.content and event.content.parts and event.content.parts[0].text
    return event.content.parts[0].text


def _shared(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key.startswith(("app:", "user:"))}
