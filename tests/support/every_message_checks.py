"""What must hold after an operation of test_every_message.py, whatever happened to it: compared with the ledger."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from support.every_message_ledger import Ledger, Write, text_of

from adk_extra_sessions import SessionStore
from adk_extra_sessions.adk.private import storage_marker
from adk_extra_sessions.state import split
from adk_extra_sessions.testing.contract.samples import texts


class Violation(AssertionError):
    """An invariant does not hold."""


def demand(holds: bool, invariant: str) -> None:
    """Raises `Violation` unless something holds."""
    if not holds:
        raise Violation(invariant)


def check_session(ledger: Ledger, session_id: str, read: Session | None) -> None:
    """Compares what was read of a session with what was written."""
    number = ledger.creations[session_id] - 1
    if read is None:
        demand(ledger.deleted[session_id] is not False, "an acknowledged session is not lost")
        for write in ledger.writes:
            write.absent |= write.session == (session_id, number) and not (write.text or write.acknowledged)
        return
    demand(ledger.deleted[session_id] is not True, "a deleted session stays deleted")
    there = texts(read)
    demand(len(set(there)) == len(there), f"every event is stored once, not {_short(there)}")
    mine = [one for one in ledger.writes if one.text and one.session[0] == session_id]
    current = {one.text: one for one in mine if ledger.any_revision or one.session[1] == number}
    demand(set(there) <= set(current), f"a session has its own events only, not {_short(there)}")
    for write in current.values():
        of_this = write.session[1] == number
        demand(write.text in there or not (write.acknowledged and of_this), f"{write.text!r} is not lost")
        demand(write.text not in there or write.acknowledged is not False, f"{write.text!r} was refused")
    for earlier, later in itertools.pairwise(current[str(text)] for text in there):
        demand(earlier.started < later.ended, f"{later.text!r} comes before {earlier.text!r}")
    state = dict(ledger.states[session_id, number])
    for event in read.events:
        state.update(split(event.actions.state_delta).session)
    demand(split(read.state).session == state, "the session's state is that of its events")
    if read.events:
        demand(read.last_update_time == read.events[-1].timestamp, "last_update_time is that of the last event")
    for write in current.values():
        write.absent = write.text not in there


def check_part(ledger: Ledger, read: Session, *, whole: bool) -> None:
    """What was read while others wrote is a part of one history, or the whole."""
    found = texts(read)
    for number in range(ledger.creations[read.id]):
        history = [one.text for one in ledger.writes if one.text and one.session == (read.id, number)]
        if found and found[0] in history:
            start = history.index(str(found[0]))
            demand(start == 0 or not whole, "all of the history is read")
            demand(found == history[start : start + len(found)], "one history is read, without gaps")
            return
    demand(not found, "a history that somebody wrote is read")


def shared(state: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a state that sessions share."""
    return {key: value for key, value in state.items() if key.startswith(("app:", "user:"))}


def check_shared(ledger: Ledger, session_id: str, found: dict[str, Any], *, scope: str = "") -> None:
    """Compares the app's and the user's state, as read with a session, with what was written.

    What nobody acknowledged but the session has must be seen with it; with others it may be seen later.
    """
    writes = [one for one in ledger.writes if one.delta and (one.acknowledged or _may_be_stored(one))]
    for key in {key for one in writes for key in one.delta if key.startswith(scope)}:
        mine = [one for one in writes if key in one.delta]
        sure = [one for one in mine if one.acknowledged or (one.session[0] == session_id and not _may_be_gone(one))]
        allowed = [one.delta[key] for one in mine if not any(one.ended < other.started for other in sure)]
        demand(found.get(key) in [*allowed, *([] if sure else [None])], f"{key} is {found.get(key)!r}, not {allowed}")
    unknown = set(found) - {key for one in writes for key in one.delta}
    demand(not unknown, f"nothing that was not stored is in shared state: {unknown}")


def gone(ledger: Ledger) -> list[str]:
    """What names events that nothing may be left of: those of sessions that were deleted."""
    if ledger.any_revision:
        return []
    newest = {session_id: (session_id, _newest(ledger, session_id)) for session_id in ledger.creations}
    return [one.text[:30] for one in ledger.writes if one.text and one.session != newest[one.session[0]]]


def _newest(ledger: Ledger, session_id: str) -> int:
    return ledger.creations[session_id] if ledger.deleted[session_id] else ledger.creations[session_id] - 1


def check_live(ledger: Ledger, live: Session, read: Session | None) -> None:
    """A live session at storage's revision has what storage has."""
    if read is not None and storage_marker(live) == storage_marker(read) and not ledger.any_revision:
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


def _may_be_gone(write: Write) -> bool:
    return write.absent or not write.text


def _may_be_stored(write: Write) -> bool:
    return write.acknowledged is None and not write.absent


def _short(labels: Sequence[str | None]) -> list[str]:
    return [str(label)[:12] for label in labels[-12:]]
