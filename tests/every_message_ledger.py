"""What everybody tried to write, and what storage must hold after it: the checks of test_every_message.py.

Times are steps of a counter. An append whose outcome nobody was told may be
stored or not; all else follows from what the callers were told.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions import SessionStore
from adk_extra_sessions.adk_private import storage_marker
from adk_extra_sessions.contract.samples import texts
from adk_extra_sessions.errors import AlreadyExistsError, SessionNotFoundError, StaleSessionError
from adk_extra_sessions.state import split
from adk_extra_sessions.transfer import restore_session

LATER = 1 << 60
"""The time of what has not ended."""

REFUSED = (StaleSessionError, SessionNotFoundError)


class Violation(AssertionError):
    """An invariant does not hold."""


def demand(holds: bool, invariant: str) -> None:
    """Raises `Violation` unless something holds."""
    if not holds:
        raise Violation(invariant)


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
        write.ended = next(self._clock)
        if not isinstance(outcome, BaseException):
            write.acknowledged = True
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

    def check_session(self, session_id: str, read: Session | None) -> None:
        """Compares what was read of a session with what was written."""
        number = self.creations[session_id] - 1
        if read is None:
            demand(self.deleted[session_id] is not False, "an acknowledged session is not lost")
            for write in self.writes:
                write.absent |= write.session == (session_id, number) and not (write.text or write.acknowledged)
            return
        demand(self.deleted[session_id] is not True, "a deleted session stays deleted")
        there = texts(read)
        demand(len(set(there)) == len(there), f"every event is stored once, not {_short(there)}")
        mine = [one for one in self.writes if one.text and one.session[0] == session_id]
        current = {one.text: one for one in mine if self.any_revision or one.session[1] == number}
        demand(set(there) <= set(current), f"a session has its own events only, not {_short(there)}")
        for write in current.values():
            of_this = write.session[1] == number
            demand(write.text in there or not (write.acknowledged and of_this), f"{write.text!r} is not lost")
            demand(write.text not in there or write.acknowledged is not False, f"{write.text!r} was refused")
        for earlier, later in itertools.pairwise(current[str(text)] for text in there):
            demand(earlier.started < later.ended, f"{later.text!r} comes before {earlier.text!r}")
        state = dict(self.states[session_id, number])
        for event in read.events:
            state.update(split(event.actions.state_delta).session)
        demand(split(read.state).session == state, "the session's state is that of its events")
        if read.events:
            demand(read.last_update_time == read.events[-1].timestamp, "last_update_time is that of the last event")
        for write in current.values():
            write.absent = write.text not in there

    def check_part(self, read: Session, *, whole: bool) -> None:
        """What was read while others wrote is a part of one history, or the whole."""
        found = texts(read)
        for number in range(self.creations[read.id]):
            history = [one.text for one in self.writes if one.text and one.session == (read.id, number)]
            if found and found[0] in history:
                start = history.index(str(found[0]))
                demand(start == 0 or not whole, "all of the history is read")
                demand(found == history[start : start + len(found)], "one history is read, without gaps")
                return
        demand(not found, "a history that somebody wrote is read")

    def check_shared(self, session_id: str, found: dict[str, Any]) -> None:
        """Compares the app's and the user's state, as read with a session, with what was written.

        What nobody acknowledged but the session has must be seen with it; with others it may be seen later.
        """
        writes = [one for one in self.writes if one.delta and (one.acknowledged or _may_be_stored(one))]
        for key in {key for one in writes for key in one.delta}:
            mine = [one for one in writes if key in one.delta]
            sure = [one for one in mine if one.acknowledged or (one.session[0] == session_id and not _may_be_gone(one))]
            allowed = [one.delta[key] for one in mine if not any(one.ended < other.started for other in sure)]
            demand(
                found.get(key) in [*allowed, *([] if sure else [None])], f"{key} is {found.get(key)!r}, not {allowed}"
            )
        unknown = set(found) - {key for one in writes for key in one.delta}
        demand(not unknown, f"nothing that was not stored is in shared state: {unknown}")

    def gone(self) -> list[str]:
        """What names events that nothing may be left of: those of sessions that were deleted."""
        if self.any_revision:
            return []
        gone = [
            one for one in self.writes if one.text and one.session != (one.session[0], self._newest(one.session[0]))
        ]
        return [one.text[:30] for one in gone]

    def _newest(self, session_id: str) -> int:
        return self.creations[session_id] if self.deleted[session_id] else self.creations[session_id] - 1

    def check_live(self, live: Session, read: Session | None) -> None:
        """A live session at storage's revision has what storage has."""
        if read is not None and storage_marker(live) == storage_marker(read) and not self.any_revision:
            demand(texts(live) == texts(read), "the live session has the events of its revision")
            mine, stored = split(live.state).session, split(read.state).session
            demand(mine == stored, "the live session has the state of its revision")


def check_windows(store: SessionStore, read: Session, **names: str) -> None:
    """Reads parts of a session's history, which must be parts of the whole."""
    every = texts(read)
    for recent in {0, 1, 25, len(every)}:
        found = store.get_session(**names, config=GetSessionConfig(num_recent_events=recent))
        demand(found is not None and texts(found) == every[len(every) - min(recent, len(every)) :], f"recent={recent}")
    for event in read.events[:: max(1, len(every) - 1)]:
        after = event.timestamp
        found = store.get_session(**names, config=GetSessionConfig(after_timestamp=after))
        wanted = [text_of(one) for one in read.events if one.timestamp >= after]
        demand(found is not None and texts(found) == wanted, "after_timestamp gives what came then")


def text_of(event: Event) -> str:
    assert event.content and event.content.parts and event.content.parts[0].text
    return event.content.parts[0].text


def _may_be_gone(write: Write) -> bool:
    return write.absent or not write.text


def _may_be_stored(write: Write) -> bool:
    return write.acknowledged is None and not write.absent


def _shared(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key.startswith(("app:", "user:"))}


def _short(labels: Sequence[str | None]) -> list[str]:
    return [str(label)[:12] for label in labels[-12:]]
