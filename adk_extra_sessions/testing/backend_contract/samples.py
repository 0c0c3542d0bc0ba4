"""Records for the tests of the backend contract."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.details import SessionDetails
from adk_extra_sessions.records import (
    AppendOutcome,
    AppendRequest,
    EventRecord,
    NewSession,
    SessionKey,
    SessionRecord,
    Window,
)
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

KEY = SessionKey(APP, USER, "one")
CODEC = Codec()

_revisions = itertools.count(1_700_000_000_000_000, 1_000_000)
_nonces = map(str, itertools.count())


def new_session(key: SessionKey = KEY, state: dict[str, Any] | None = None, **given: Any) -> NewSession:
    """Makes a session to be created, with a revision and a nonce of its own."""
    details = SessionDetails(**{"create_time": 100.0, **given})
    return NewSession(key, next(_revisions), next(_nonces), CODEC.encode_state(state or {}), details)


def created(backend: Backend, key: SessionKey = KEY, state: dict[str, Any] | None = None, **given: Any) -> NewSession:
    """Creates a session that is not there yet."""
    new = new_session(key, state, **given)
    assert backend.create(new) is not None
    return new


def record(text: str, at: float = 200.0, delta: dict[str, Any] | None = None) -> EventRecord:
    """Makes an event as it is stored."""
    return CODEC.encode(an_event(text, at=at, delta=delta))


def append(
    backend: Backend, events: Sequence[EventRecord], key: SessionKey = KEY, expected: int | None = None, **more: Any
) -> AppendOutcome:
    """Appends events in one request."""
    (outcome,) = backend.append([AppendRequest(key, events, expected=expected, **more)])
    return outcome


def appended(backend: Backend, texts: Sequence[str], key: SessionKey = KEY) -> list[EventRecord]:
    """Appends events, one request each, at 200, 201, 202... seconds, whatever the revision."""
    records = [record(text, at=200.0 + number) for number, text in enumerate(texts)]
    for one in records:
        assert append(backend, [one], key).error is None
    return records


def read(backend: Backend, key: SessionKey = KEY, **window: Any) -> SessionRecord:
    """Reads a session that must be there."""
    found = backend.read(key, Window(**window))
    assert found is not None
    return found


def texts_of(found: SessionRecord) -> list[str | None]:
    """Returns the texts of a record's events."""
    events = CODEC.decode(found.bodies, found.key, found.first)
    return [event.content.parts[0].text for event in events if event.content and event.content.parts]
