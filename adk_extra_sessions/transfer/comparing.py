"""Compares two sessions and describes where they differ, without showing values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from google.adk.events import Event
from google.adk.sessions import Session
from pydantic_core import from_json

from adk_extra_sessions.errors import SessionConflictError
from adk_extra_sessions.event_json import encode_event
from adk_extra_sessions.state import split
from adk_extra_sessions.state_json import encode_state
from adk_extra_sessions.transfer.copying_details import detail_differences


def same_event(one: Event, other: Event) -> bool:
    """Whether two events are stored alike, whatever the order of keys in their values."""
    return _same_json(encode_event(one, coerce=True).text, encode_event(other, coerce=True).text)


def state_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names the keys of `one` whose value is missing or different in `other`, and the keys only `other` has."""
    texts = [encode_state(dict(state), coerce=True).session for state in (one, other)]
    first, second = ({key: text.encode() for key, text in found.items()} for found in texts)
    changed = [
        f"state key {key!r} {'differs' if key in second else 'is missing'}"
        for key, text in first.items()
        if not _same_json(text, second.get(key))
    ]
    return changed + [f"state key {key!r} is not in the source" for key in second.keys() - first.keys()]


def session_differences(
    session: Session, events: Iterable[Event], other: Session, other_events: Iterable[Event]
) -> Iterator[str]:
    """Describes how the second session differs from the first: own state, details, time and events.

    State that the app's or the user's sessions share is not compared here.
    """
    yield from state_differences(split(session.state).session, split(other.state).session)
    if session.last_update_time != other.last_update_time:
        yield f"last_update_time is {other.last_update_time!r} instead of {session.last_update_time!r}"
    yield from detail_differences(session, other)
    missing = surplus = 0
    for position, (event, copied) in enumerate(zip_longest(events, other_events)):
        if copied is None:
            missing += 1
        elif event is None:
            surplus += 1
        elif not same_event(event, copied):
            yield f"event {position} ({event.id}) differs"
    if missing:
        yield f"{missing} events are missing"
    if surplus:
        yield f"{surplus} events are not in the source"


def events_to_copy(
    session: Session, events: Iterable[Event], there: Session, stored: Iterable[Event]
) -> Iterator[Event]:
    """Yields the events that an incomplete or older copy of a session does not have yet.

    Args:
        session: The session.
        events: All its events.
        there: The session that the destination has under the same id.
        stored: All its events.

    Raises:
        SessionConflictError: The session in the destination is not an earlier copy of this one.
    """
    # A state key is never removed.
    surplus = split(there.state).session.keys() - split(session.state).session.keys()
    if surplus:
        raise _conflict(session, f"it has a state key {min(surplus)!r}, which the source has not")
    coming = iter(events)
    for position, found in enumerate(stored):
        event = next(coming, None)
        if event is None:
            raise _conflict(session, f"it has more events than the source, which has {position:,}")
        if not same_event(event, found):
            raise _conflict(session, f"its event {position} is a different one")
    event = next(coming, None)
    if event is not None:
        yield event
        yield from coming
    elif changed := state_differences(split(session.state).session, split(there.state).session):
        raise _conflict(session, changed[0])


def _conflict(session: Session, reason: str) -> SessionConflictError:
    return SessionConflictError(session.id, session.user_id, reason)


def _same_json(one: bytes, other: bytes | None) -> bool:
    return one == other or (other is not None and _canonical(one) == _canonical(other))


def _canonical(text: bytes) -> str:
    return json.dumps(from_json(text), sort_keys=True)
