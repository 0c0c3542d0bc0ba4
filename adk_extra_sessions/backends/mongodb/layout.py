"""What is stored: every collection and field with its meaning, how ids are made, and who has which id.

Every `_id` is made of percent-encoded names, so a range of ids is an app's or
a user's sessions. Every filter carries app_name and user_id: the shard key.
docs/stored-form.md describes them for people who look into the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state import SharedScope

Document = dict[str, Any]

SESSIONS = "sessions"
"""One document for each session: its state, its newest events. Every write to a session is one update of it."""

CHUNKS = "event_chunks"
"""Older events, moved out of their session some dozens at a time, and bodies of very large events."""

STATE = "state"
"""One document for each app's state, and one for each user's."""

TURNS = "turns"
"""One document for each turn that somebody has or waits for."""

UNTIL = -1
"""The `ttl_ms` of a session that expires at `expires_at`, whatever is written."""

NAMES = {
    "_id": "the percent-encoded names, joined by slashes",
    "app_name": "the app",
    "user_id": "the user; null in the document of an app's state",
}

OWNER = {**NAMES, "session_id": "the session", "start_revision": "`start_revision` of the session that it belongs to"}

EXPIRY = {"expires_at": "when a TTL index removes it; the year 9999 for never"}

CHUNK_EXPIRY = {**EXPIRY, "fence": "`chunks_fence` of the session when this date was set"}

FIELDS: Mapping[str, Mapping[str, str]] = {
    SESSIONS: {
        **NAMES,
        **EXPIRY,
        "session_id": "the session",
        "format": "version of the stored form",
        "nonce": "a random text, by which a create that is repeated finds what it stored before",
        "start_revision": "the revision at creation; an earlier session with the same names had another",
        "revision": "raised by one with each event",
        "create_time": "when it was created, in seconds since the epoch",
        "last_update_time": "timestamp of the newest event, or of the creation",
        "state": "the session's own state",
        "initial_state": "its state at creation; absent if that was empty; null in copies, and if it was over 1 MiB",
        "pending": "changes of app: and user: state that were stored with events and may not have been applied yet",
        "first_position": "position of the oldest event that is kept; the first event of a session has position 0",
        "tail": "the newest events, oldest first",
        "tail_first": "position of the first event in `tail`",
        "tail_count": "number of events in `tail`",
        "tail_bytes": "bytes of the bodies in `tail`",
        "chunked_until": "newest timestamp of the events in chunks, except those in `ahead`",
        "ahead": "timestamp and digest of the newest events in chunks",
        "long_running": "how many events may have changed which calls of long-running tools wait; absent for none",
        "outlines": "what a turn needs of the history, by the option `history`; absent until it is known",
        "chunks_expire_at": "no chunk of the session expires before this time",
        "chunks_fence": "raised when the expiry of chunks is set, so that no older date replaces a newer one",
        "ttl_ms": "its own ttl in milliseconds; 0: it never expires; -1: at `expires_at`, whatever is written; "
        "absent: the ttl of the store that writes",
        "display_name": "its name for people; absent if it has none",
        "labels": "its labels, texts by name; absent if it has none",
        "parent_session_id": "the session that it was forked from; absent if it is no fork",
        "root_session_id": "the first session in its line of forks; absent if it is no fork",
    },
    "chunk": {
        **OWNER,
        **CHUNK_EXPIRY,
        "first": "position of the first event",
        "count": "number of events",
        "newest": "their newest timestamp",
        "events": "the events, oldest first",
    },
    "large body": {**OWNER, **CHUNK_EXPIRY, "body": "the body of one event"},
    "event": {
        "digest": "12 bytes of BLAKE2b of its JSON text, by which a repeated event is found",
        "timestamp": "seconds since the epoch",
        "body": "what the codec made of it: text if it is UTF-8, else binary; absent beside `body_id`",
        "body_id": "`_id` of the document that has its body",
    },
    "outline": {
        "upto": "how many events it describes: those before this position",
        "long_running": "`long_running` of the session then",
        "start": "from this position on, all events are needed",
        "kept": "first and last positions of what is needed before `start`",
    },
    "pending": {
        "id": "the event's digest in hexadecimal, or the `nonce` of a create",
        "app": "`ticket`, `state` and `birth` of a change of the app's state; absent if there is none",
        "user": "the same for the user's state",
    },
    STATE: {
        **NAMES,
        "state": "values by key; the keys without `app:` and `user:`",
        "tickets": "for each key the ticket of its last change",
        "ticket": "the last ticket that was taken",
        "bytes": "how large the document can be at most, with all changes that have a ticket",
        "applied": "how often changes were applied",
        "birth": "a random text; a later document with the same names has another",
        "returned": "how many tickets were not used, because nothing was stored with them; absent if none",
    },
    TURNS: {**NAMES, **EXPIRY, "queue": "who has the turn and who waits for it"},
}
"""Every field of each kind of document and sub-document. `chunk` and `large body` are both in event_chunks."""


TEXT_DETAILS = ("display_name", "parent_session_id", "root_session_id")
"""The details of a session that are texts: their names in `SessionDetails`, and their fields."""


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


def chunk_prefix(session: str, start_revision: int) -> str:
    """What the ids of a session's chunks begin with; a session created again under its `_id` has others."""
    return f"{session}#{start_revision}"


def chunk_id(prefix: str, first: int) -> str:
    """The `_id` of a chunk whose first event has this position: ids are in the order of positions."""
    return f"{prefix}/{first:012d}"


def body_id(prefix: str, unique: str) -> str:
    """The `_id` of a large body."""
    return f"{prefix}+body/{unique}"


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


def shared_filters(key: SessionKey) -> dict[SharedScope, Document]:
    """Selects the state that a session shares, by scope."""
    return {"user": user_filter(key.app_name, key.user_id), "app": app_filter(key.app_name)}
