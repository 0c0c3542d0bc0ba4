"""The documents, and the filters and updates that work on them: pure functions.

sessions      one document a session: its names, state, revision, times, and a
              tail of its newest events; the commit point of every write
event_chunks  older events, moved out of the tail some dozens at a time, and
              bodies of very large events
state         the app's and each user's state, one document each

Every `_id` is made of percent-encoded names, so a range of ids is an app's or
a user's sessions. Every filter carries app_name and user_id: the shard key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from pymongo.errors import DocumentTooLarge

from adk_extra_sessions.backends.mongodb.values import stored_state
from adk_extra_sessions.codec import FORMAT
from adk_extra_sessions.records import EventRecord, NewSession, SessionKey, StateTexts

Document = dict[str, Any]

KEEP = 24
"""Newest events that always stay in a session's tail, if their size allows."""

AHEAD = 8
"""Newest events in chunks that a session's document remembers, so that they may be far in the future."""

TAIL_EVENTS = 60
"""Events in a tail at most."""

TAIL_BYTES = 2 << 20
"""Bytes of event bodies in a tail at most."""

INLINE_BYTES = 256 << 10
"""Larger bodies get a document of their own, so that a tail stays small."""

DOCUMENT_BYTES = (16 << 20) - (64 << 10)
"""What one document takes: MongoDB's limit, less room for the fields around a body."""

STATE_BYTES = 15 << 20
"""What the app's or a user's state takes. The rest is for writers that take room at the moment when it is measured."""

PATHS = 200
"""Keys that one update sets one by one. The server's time grows with their square; a whole state is written at once."""

TOO_LARGE = (10334, 17419, 17420)
"""Codes of the server's errors for a document over its limit."""

WITHOUT_STATE: Document = {"state": 0}
"""What an append needs of a session: all but what may be its largest part."""


def encoded(name: str) -> str:
    """Percent-encodes all of a name but ASCII letters, digits and `_.-~`."""
    return quote(name, safe="")


def app_id(app_name: str) -> str:
    """The `_id` of the app's state."""
    return encoded(app_name)


def user_id(app_name: str, user: str) -> str:
    """The `_id` of the user's state."""
    return f"{encoded(app_name)}/{encoded(user)}"


@lru_cache(maxsize=4096)
def session_id(key: SessionKey) -> str:
    """The `_id` of a session."""
    return f"{user_id(key.app_name, key.user_id)}/{encoded(key.session_id)}"


def below(prefix: str) -> Document:
    """Returns the range of the ids that begin with `prefix` and a slash."""
    return {"$gt": f"{prefix}/", "$lt": f"{prefix}0"}  # "0" is the character after "/"


def session_filter(key: SessionKey) -> Document:
    """Selects one session."""
    return {"_id": session_id(key), "app_name": key.app_name, "user_id": key.user_id}


def app_filter(app_name: str) -> Document:
    """Selects the app's state."""
    return {"_id": app_id(app_name), "app_name": app_name, "user_id": None}


def user_filter(app_name: str, user: str) -> Document:
    """Selects the user's state."""
    return {"_id": user_id(app_name, user), "app_name": app_name, "user_id": user}


def state_bytes(texts: Mapping[str, str]) -> int:
    """About how many bytes some state takes in a document."""
    return sum(len(name.encode()) + len(text.encode()) for name, text in texts.items())


def shared_filters(key: SessionKey) -> Sequence[tuple[str, Document]]:
    """Selects the app's and the user's state, by scope."""
    return (("app", app_filter(key.app_name)), ("user", user_filter(key.app_name, key.user_id)))


def pending_delta(state: StateTexts, name: str) -> Document | None:
    """A delta to the app's and the user's state, as a session holds it until it has been applied.

    Each scope still needs its `ticket`.
    """
    scopes = {"app": state.app, "user": state.user}
    parts = {scope: {"state": stored_state(texts)} for scope, texts in scopes.items() if texts}
    return {"id": name, **parts} if parts else None


def new_session(
    new: NewSession, expires_at: datetime, chunks_expire_at: datetime, pending: Sequence[Document]
) -> Document:
    """The document of a session without events."""
    key = new.key
    return {
        **session_filter(key),
        "session_id": key.session_id,
        "format": FORMAT,
        "nonce": new.nonce,
        "base": new.revision,
        "revision": new.revision,
        "created": new.created,
        "last_update_time": new.created,
        "expires_at": expires_at,
        "state": stored_state(new.state.session),
        "state_ids": [app_id(key.app_name), user_id(key.app_name, key.user_id)],
        "tail": [],
        "tail_first": 0,
        "tail_count": 0,
        "tail_bytes": 0,
        "chunked_until": float("-inf"),
        "ahead": [],
        "chunks_expire_at": chunks_expire_at,
        "chunks_fence": 0,
        "pending": list(pending),
    }


def event_document(event: EventRecord, blob: str | None = None) -> Document:
    """An event in a tail or chunk; its body inside, or in the document that `blob` names."""
    return {
        "id": event.id,
        "timestamp": event.timestamp,
        "author": event.author,
        "invocation_id": event.invocation_id,
        "digest": event.digest,
        **({"body": event.body.decode()} if blob is None else {"blob": blob}),
    }


def inline_bytes(events: Sequence[EventRecord]) -> int:
    """Bytes that events add to a tail."""
    return sum(len(event.body) for event in events if len(event.body) <= INLINE_BYTES)


def room_filter(events: Sequence[EventRecord]) -> Document:
    """Selects a session of a known format that has room for events and certainly has none of them.

    Chunks are not searched: an event newer than all that were moved to chunks
    cannot be in one. The newest few of those are compared one by one instead,
    so that one clock far ahead does not make every later event look old.
    """
    digests = [event.digest for event in events]
    return {
        "format": {"$lte": FORMAT},
        "tail.digest": {"$nin": digests},
        "ahead.digest": {"$nin": digests},
        "tail_count": {"$lte": TAIL_EVENTS - len(events)},
        "tail_bytes": {"$lte": TAIL_BYTES - inline_bytes(events)},
        "chunked_until": {"$lt": min(event.timestamp for event in events)},
    }


def has_room(session: Document, events: Sequence[EventRecord]) -> bool:
    """Whether a session's tail takes events, as `room_filter` has the server find out."""
    enough = session["tail_count"] + len(events) <= TAIL_EVENTS
    return bool(enough) and bool(session["tail_bytes"] + inline_bytes(events) <= TAIL_BYTES)


def may_be_in_chunk(session: Document, event: EventRecord) -> bool:
    """Whether an event may have been moved to a chunk already, as `room_filter` has the server find out."""
    ahead = {bytes(one["digest"]) for one in session["ahead"]}
    return bool(event.timestamp <= session["chunked_until"]) or event.digest in ahead


def newest_in_chunks(session: Document) -> float:
    """The newest timestamp of a session's events in chunks."""
    return max([float(session["chunked_until"]), *(float(one["timestamp"]) for one in session["ahead"])])


def as_read(session: Document) -> Document:
    """Selects a session that is as it was read: the very events in its tail, and the expiry of its chunks.

    Its revision alone does not prove that: after a change of primary the same
    revision may come again with other events.
    """
    names = ("_id", "app_name", "user_id", "revision", "base", "tail_first", "chunks_fence")
    return {**{name: session[name] for name in names}, **_same_events("tail", session["tail"])}


def chunk_as_read(found: Document) -> Document:
    """Selects a chunk that has the very events that were read."""
    names = ("_id", "app_name", "user_id", "base", "count")
    return {**{name: found[name] for name in names}, **_same_events("events", found["events"])}


def _same_events(array: str, events: Sequence[Document]) -> Document:
    return {f"{array}.{at}.digest": event["digest"] for at, event in enumerate(events)}


def append_update(
    events: Sequence[EventRecord],
    expires_at: datetime,
    reserved: Sequence[Document] = (),
    blobs: Mapping[bytes, str] | None = None,
) -> Document:
    """The one update that is an append: events, state, revision and times.

    Args:
        events: What to append, oldest first.
        expires_at: When the session expires then.
        reserved: The deltas to shared state, with their tickets, of these events and maybe of others.
        blobs: Ids of bodies stored apart, by digest.
    """
    documents = [event_document(event, (blobs or {}).get(event.digest)) for event in events]
    ids = {event.digest.hex() for event in events}
    pending = [delta for delta in reserved if delta["id"] in ids]
    changed: Document = {"last_update_time": events[-1].timestamp, "expires_at": expires_at}
    for event in events:
        changed.update({f"state.{name}": value for name, value in stored_state(event.state.session).items()})
    push: Document = {"tail": {"$each": documents}}
    if pending:
        push["pending"] = {"$each": pending}
    counts = {"revision": len(events), "tail_count": len(events), "tail_bytes": inline_bytes(events)}
    return {"$push": push, "$set": changed, "$inc": counts}


def is_too_large(error: Exception) -> bool:
    """Whether the driver or the server refused a document over its limit."""
    return isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in TOO_LARGE


def with_whole_state(update: Document, state: Mapping[str, Any]) -> Document:
    """Returns an append's update that sets the whole of the session's state, which was `state`, instead of each key.

    To be sent at the very revision at which the state was read.
    """
    changed = update["$set"]
    own = {name.removeprefix("state."): value for name, value in changed.items() if name.startswith("state.")}
    others = {name: value for name, value in changed.items() if not name.startswith("state.")}
    return {**update, "$set": {**others, "state": {**state, **own}}}


def chunk_prefix(session: Document) -> str:
    """What the ids of a session's chunks begin with; a session created again has others."""
    return f"{session['_id']}#{session['base']}"


def chunk(session: Document, count: int, expires_at: datetime) -> Document:
    """The chunk of the oldest `count` events in a session's tail."""
    events = session["tail"][:count]
    return {
        "_id": f"{chunk_prefix(session)}/{session['tail_first']:012d}",
        "app_name": session["app_name"],
        "user_id": session["user_id"],
        "session_id": session["session_id"],
        "base": session["base"],
        "first": session["tail_first"],
        "count": count,
        "newest": max(event["timestamp"] for event in events),
        "expires_at": expires_at,
        "fence": session["chunks_fence"],
        "events": events,
    }


def with_cut(update: Document, session: Document, copied: Document) -> Document:
    """Returns an append's update that takes a chunk's events out of the tail as well.

    To be sent at the very revision at which `session` was read.
    """
    tail, counts = update["$push"]["tail"], update["$inc"]
    left = session["tail_count"] - copied["count"]
    moved = sorted([*session["ahead"], *copied["events"]], key=lambda event: float(event["timestamp"]), reverse=True)
    ahead = [{name: event[name] for name in ("timestamp", "digest")} for event in moved[:AHEAD]]
    until = max([session["chunked_until"], *(event["timestamp"] for event in moved[AHEAD:])])
    size = sum(len(event.get("body", "").encode()) for event in copied["events"])
    return {
        **update,
        "$push": {**update["$push"], "tail": {**tail, "$slice": -(left + len(tail["$each"]))}},
        "$inc": {
            **counts,
            "tail_first": copied["count"],
            "tail_count": counts["tail_count"] - copied["count"],
            "tail_bytes": counts["tail_bytes"] - size,
        },
        "$set": {**update["$set"], "ahead": ahead, "chunked_until": until},
        "$min": {"chunks_expire_at": copied["expires_at"]},
    }
