"""Writes one session exactly as it is in another place: id, order of events, times and state.

The session is created with its final state, and its events are appended without
applying their deltas again. So an interrupted copy has the final state and the
first of the events; restoring it again appends the others.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from attrs import define, evolve, frozen
from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.adk.private import storage_marker
from adk_extra_sessions.appends import REQUEST_BYTES, REQUEST_EVENTS
from adk_extra_sessions.details import SessionDetails
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import AppendRequest, EventRecord, NewSession, SessionKey
from adk_extra_sessions.state import StateTexts, split
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.transfer.comparing import events_to_copy
from adk_extra_sessions.transfer.copying_details import update_details, with_details
from adk_extra_sessions.transfer.streams import stream_session


class Status(Enum):
    """What happened to a session."""

    CREATED = "created"
    CONTINUED = "continued"
    SAME = "the same"


@frozen
class Restored:
    """A session that has been restored.

    Attributes:
        status: CREATED; CONTINUED if an incomplete or older copy was completed; SAME if nothing was written.
        events: How many events were written.
    """

    status: Status
    events: int


def restore_session(store: SessionStore, session: Session, events: Iterable[Event]) -> Restored:
    """Writes a session exactly as it is in another place, in constant memory; may be run again.

    The app's and the user's state are not changed: `write_shared_state` sets them.

    Args:
        store: A store of this package.
        session: Its names, state, times and details; its own `events` are ignored.
        events: All its events, oldest first.

    Raises:
        SessionConflictError: A different session is stored under this id.
        SessionNotFoundError: The session was deleted while it was written.
        StateValueError: A state value has no JSON form.
    """
    key = SessionKey.of(session.app_name, session.user_id, session.id)
    state = StateTexts(session=store.codec.encode_state(split(session.state).session).session)
    details = SessionDetails(create_time=session.last_update_time)
    new = with_details(NewSession(key, time.time_ns() // 1000, uuid.uuid4().hex, state, details, copied=True), session)
    created = store.archive.create(new)
    if created:
        copy = _Copy(store, key, new.revision, new.details.create_time)
        copy.append(map(store.codec.encode, events), StateTexts())
    else:
        copy = _continued(store, key, session, events, state)
    moved = copy.time != session.last_update_time
    if moved:
        store.archive.set_time(key, copy.revision, session.last_update_time)
    changed = copy.written or copy.updated or moved
    status = Status.CREATED if created else Status.CONTINUED if changed else Status.SAME
    return Restored(status, copy.written)


def write_shared_state(
    store: SessionStore, *, app_name: str, user_id: str | None = None, state: Mapping[str, Any]
) -> None:
    """Sets keys of a user's state, or without `user_id` of the app's; other keys are not changed.

    Args:
        store: A store of this package.
        app_name: The app's name.
        user_id: The user's id; None for the app itself.
        state: Raw keys, without prefix, and their values.

    Raises:
        StateValueError: A value has no JSON form.
    """
    scope = "app:" if user_id is None else "user:"
    named = {scope + name: value for name, value in state.items()}
    store.archive.write_shared_state(app_name, user_id or "", store.codec.encode_state(named))


@define
class _Copy:
    """A session that is being written."""

    store: SessionStore
    key: SessionKey
    revision: int
    time: float
    written: int = 0
    updated: bool = False

    def append(self, records: Iterable[EventRecord], state: StateTexts) -> None:
        """Appends events without their deltas; the first of them sets `state`."""
        for batch in _batches(records):
            bare = [evolve(record, state=StateTexts()) for record in batch]
            if not self.written:
                bare[0] = evolve(bare[0], state=state)
            revisions = self.store.archive.append(AppendRequest(self.key, bare, expected=self.revision))
            self.revision = max(self.revision, *revisions)
            self.time = bare[-1].timestamp
            self.written += len(bare)


def _continued(
    store: SessionStore, key: SessionKey, session: Session, events: Iterable[Event], state: StateTexts
) -> _Copy:
    found = stream_session(store, app_name=key.app_name, user_id=key.user_id, session_id=key.session_id)
    if found is None:
        raise SessionNotFoundError(f"{key} was deleted while it was restored.")
    copy = _Copy(store, key, int(storage_marker(found.session) or 0), found.session.last_update_time)
    coming = events_to_copy(session, events, found.session, found.events)
    copy.append(map(store.codec.encode, coming), state)
    copy.updated = update_details(store, key, session, found.session)
    return copy


def _batches(records: Iterable[EventRecord]) -> Iterator[list[EventRecord]]:
    batch: list[EventRecord] = []
    size = 0
    for record in records:
        length = len(record.body)
        if batch and (len(batch) == REQUEST_EVENTS or size + length > REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield batch
