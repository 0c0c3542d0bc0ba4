"""The documents that are written, and the updates of them: pure functions. `layout` says what each field means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from adk_extra_sessions.backends.mongodb import layout, limits
from adk_extra_sessions.backends.mongodb.guards import bytes_in_tail
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.backends.mongodb.values import field_name, stored_state
from adk_extra_sessions.backends.stored_format import FORMAT
from adk_extra_sessions.details import UNSET, Changes, SessionDetails
from adk_extra_sessions.records import EventRecord, NewSession
from adk_extra_sessions.state import StateTexts

WITHOUT_STATE: Document = {"state": 0, "initial_state": 0}
"""A projection: what an append needs of a session, all but what may be its largest parts."""

WITHOUT_BODIES: Document = {**WITHOUT_STATE, "tail.body": 0}
"""A projection: what a session is compared by."""


def details_fields(details: SessionDetails | Changes) -> Document:
    """Returns the fields for a session's details but its times, as far as given; None for what it has not."""
    given = {name: getattr(details, name, UNSET) for name in layout.TEXT_DETAILS}
    fields: Document = {name: value for name, value in given.items() if value is not UNSET}
    if details.labels is not UNSET:
        fields["labels"] = {field_name(name): text for name, text in details.labels.items()} or None
    if details.lifetime is not UNSET:
        own = {"default": None, "fixed": layout.UNTIL}
        fields["ttl_ms"] = own.get(details.lifetime.kind, details.lifetime.ttl_ms)
    return fields


def new_session(new: NewSession, expires_at: datetime, chunks_expire_at: datetime, deltas: list[Document]) -> Document:
    """Returns the document of a session without events."""
    key, state = new.key, stored_state(new.state.session)
    size = sum(len(name) + len(text) for name, text in new.state.session.items())
    known = not new.copied and size <= limits.INITIAL_STATE_BYTES
    created, optional = new.details.create_time, details_fields(new.details)
    return {
        **layout.session_filter(key),
        "session_id": key.session_id,
        "format": FORMAT,
        "nonce": new.nonce,
        "start_revision": new.revision,
        "revision": new.revision,
        "create_time": created,
        "last_update_time": created,
        "expires_at": expires_at,
        "state": state,
        **({"initial_state": state if known else None} if state else {}),
        "pending": deltas,
        "first_position": 0,
        "tail": [],
        "tail_first": 0,
        "tail_count": 0,
        "tail_bytes": 0,
        "chunked_until": float("-inf"),
        "ahead": [],
        "chunks_expire_at": chunks_expire_at,
        "chunks_fence": 0,
        **{name: value for name, value in optional.items() if value is not None},
    }


def stored_body(body: bytes) -> str | bytes:
    """Returns a body as it is stored: as text where it is UTF-8, so that people can read it; exact either way."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def body_size(event: Document) -> int:
    """Returns the bytes of the body in an event's document."""
    body: str | bytes = event.get("body", b"")
    return len(body.encode() if isinstance(body, str) else body)


def event_document(event: EventRecord, body_id: str | None = None) -> Document:
    """Returns an event in a tail or chunk: its body inside, or in the document that `body_id` names."""
    body = {"body": stored_body(event.body)} if body_id is None else {"body_id": body_id}
    return {"digest": event.digest, "timestamp": event.timestamp, **body}


def pending_delta(state: StateTexts, name: str) -> Document | None:
    """Returns a change of shared state as a session holds it until it has been applied; None if there is none.

    Each scope still needs its `ticket`.
    """
    parts: dict[str, Document] = {
        scope: {"state": stored_state(texts)} for scope, texts in state.shared.items() if texts
    }
    return {"id": name, **parts} if parts else None


def append_update(
    events: Sequence[EventRecord],
    expires_at: datetime,
    deltas: Sequence[Document] = (),
    body_ids: Mapping[bytes, str] | None = None,
) -> Document:
    """Returns the one update that is an append: events, state, revision and times.

    Args:
        events: What to append, oldest first.
        expires_at: When the session expires then.
        deltas: The changes of shared state, with their tickets, of these events and maybe of others.
        body_ids: Where large bodies are stored, by digest.
    """
    tail = [event_document(event, (body_ids or {}).get(event.digest)) for event in events]
    ids = {event.digest.hex() for event in events}
    pending = [delta for delta in deltas if delta["id"] in ids]
    changed: Document = {"last_update_time": events[-1].timestamp, "expires_at": expires_at}
    for event in events:
        changed.update({f"state.{name}": value for name, value in stored_state(event.state.session).items()})
    push: Document = {"tail": {"$each": tail}}
    if pending:
        push["pending"] = {"$each": pending}
    counts = {"revision": len(events), "tail_count": len(events), "tail_bytes": bytes_in_tail(events)}
    if long_running := sum(event.changes_waiting for event in events):
        counts["long_running"] = long_running
    return {"$push": push, "$set": changed, "$inc": counts}


def with_whole_state(update: Document, state: Mapping[str, Any]) -> Document:
    """Returns an append's update that sets the whole of the session's state, which was `state`, instead of each key.

    To be sent at the very revision at which the state was read.
    """
    changed = update["$set"]
    own = {name.removeprefix("state."): value for name, value in changed.items() if name.startswith("state.")}
    others = {name: value for name, value in changed.items() if not name.startswith("state.")}
    return {**update, "$set": {**others, "state": {**state, **own}}}


def chunk(head: Head, expires_at: datetime) -> Document:
    """Returns the chunk of the older part of a session's tail."""
    kept = size = 0
    for event in reversed(head.tail):
        size += body_size(event)
        if kept == limits.KEPT_EVENTS or size > limits.TAIL_BYTES // 2:
            break
        kept += 1
    events = head.tail[: max(1, len(head.tail) - kept)]
    return {
        "_id": layout.chunk_id(head.chunk_prefix, head.tail_first),
        **head.owner,
        "first": head.tail_first,
        "count": len(events),
        "newest": max(event["timestamp"] for event in events),
        "expires_at": expires_at,
        "fence": head.chunks_fence,
        "events": events,
    }


def large_body(head: Head, event: EventRecord, unique: str, expires_at: datetime) -> Document:
    """Returns the document of a body too large for a tail."""
    identity = {"_id": layout.body_id(head.chunk_prefix, unique), **head.owner}
    return {**identity, "expires_at": expires_at, "fence": head.chunks_fence, "body": stored_body(event.body)}


def with_cut(update: Document, head: Head, events: Sequence[Document], expires_at: datetime) -> Document:
    """Returns an append's update that also removes the tail's oldest events, which a chunk has.

    To be sent only if the session is still as it was read.

    Args:
        update: The append's update.
        head: The session as it was read.
        events: The events of the chunk.
        expires_at: When the chunk expires.
    """
    tail, counts = update["$push"]["tail"], update["$inc"]
    moved = sorted([*head.ahead, *events], key=lambda event: float(event["timestamp"]), reverse=True)
    ahead = [{name: event[name] for name in ("timestamp", "digest")} for event in moved[: limits.AHEAD]]
    until = max([head.chunked_until, *(float(event["timestamp"]) for event in moved[limits.AHEAD :])])
    kept = head.tail_count - len(events) + len(tail["$each"])
    return {
        **update,
        "$push": {**update["$push"], "tail": {**tail, "$slice": -kept}},
        "$inc": {
            **counts,
            "tail_first": len(events),
            "tail_count": counts["tail_count"] - len(events),
            "tail_bytes": counts["tail_bytes"] - sum(map(body_size, events)),
        },
        "$set": {**update["$set"], "ahead": ahead, "chunked_until": until},
        "$min": {"chunks_expire_at": expires_at},
    }
