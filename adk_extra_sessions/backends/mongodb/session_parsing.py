"""Parses what a session's document has besides its events. `layout.FIELDS` says what its fields mean."""

from __future__ import annotations

from collections.abc import Sequence

from adk_extra_sessions.backends.mongodb.expiry import NEVER, lifetime_of, seconds_of
from adk_extra_sessions.backends.mongodb.field_values import to_deltas, to_integer, to_labels, to_number, to_text, utc
from adk_extra_sessions.backends.mongodb.layout import TEXT_DETAILS, Document
from adk_extra_sessions.backends.mongodb.parsing import damaged
from adk_extra_sessions.backends.mongodb.state_parsing import state_in
from adk_extra_sessions.backends.mongodb.values import state_key
from adk_extra_sessions.details import SessionDetails
from adk_extra_sessions.records import SessionKey, SessionRecord
from adk_extra_sessions.state import SharedState

FIELDS = (
    *("format", "user_id", "session_id", "revision", "last_update_time", "pending"),
    *("create_time", "expires_at", "ttl_ms", "labels", *TEXT_DETAILS),
)
"""What a list needs of a session, besides its state."""


def record_of(
    session: Document, key: SessionKey, shared: SharedState, bodies: Sequence[bytes | str] = (), first: int = 0
) -> SessionRecord:
    """Returns the record of a session.

    Args:
        session: Its document.
        key: Its names.
        shared: The state that it shares.
        bodies: Its events.
        first: Position of the first of them.

    Raises:
        CorruptRecordError: A field is missing, or of another type.
    """
    try:
        times = to_integer(session.get("revision")), to_number(session.get("last_update_time"))
    except ValueError:
        raise damaged(key) from None
    return SessionRecord(key, *times, state_in(session, key), shared, bodies, first, details_of(session, key))


def pending_of(session: Document, key: SessionKey) -> list[Document]:
    """Returns the changes of shared state that a session holds.

    Raises:
        CorruptRecordError: They are missing, or something else.
    """
    try:
        return to_deltas(session.get("pending"))
    except ValueError:
        raise damaged(key) from None


def details_of(session: Document, key: SessionKey) -> SessionDetails:
    """Returns a session's name, labels, times and lifetime.

    Raises:
        CorruptRecordError: A field is of another type.
    """
    try:
        labels = to_labels(session["labels"]) if "labels" in session else {}
        expires_at = utc(session.get("expires_at", NEVER))
        ttl_ms = to_integer(session["ttl_ms"]) if "ttl_ms" in session else None
        return SessionDetails(
            **{name: to_text(session[name]) for name in TEXT_DETAILS if name in session},
            labels={state_key(name): text for name, text in labels.items()},
            create_time=to_number(session.get("create_time", 0.0)),
            expire_time=None if expires_at >= NEVER else seconds_of(expires_at),
            lifetime=lifetime_of(expires_at, ttl_ms),
        )
    except ValueError:
        raise damaged(key) from None
