"""The conditions of an append, each written twice, side by side: as a query, and as a test of a session that was read.

A batched append has the queries of all of them in its filter. Where it matches
nothing, the session is read, and the other forms tell which did not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from adk_extra_sessions.backends.mongodb import layout, limits
from adk_extra_sessions.backends.mongodb.expiry import Expiry
from adk_extra_sessions.backends.mongodb.field_values import utc
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Head, digests
from adk_extra_sessions.backends.stored_format import FORMAT
from adk_extra_sessions.details import Lifetime
from adk_extra_sessions.records import AppendRequest, EventRecord


def append_query(request: AppendRequest, expiry: Expiry) -> Document:
    """Selects the request's session if all conditions for appending to it hold.

    `expiry` is that of the request's lifetime.
    """
    return {
        **layout.session_filter(request.key),
        "format": FORMAT,
        **room_query(request.events),
        **new_query(request.events),
        **revision_query(request),
        **alive_query(expiry),
        **lifetime_query(request.lifetime, expiry),
        **chunk_expiry_query(expiry),
    }


def lacks_only_room(head: Head, request: AppendRequest, expiry: Expiry) -> bool:
    """Whether a request of known revision fails only because the tail is full."""
    return (
        not has_room(head, request.events)
        and is_new(head, request.events)
        and is_at_revision(head, request)
        and not is_expired(head.expires_at, expiry)
        and has_lifetime(head, request.lifetime)
        and chunk_expiry_fits(head, expiry)
    )


# Room in the tail


def bytes_in_tail(events: Sequence[EventRecord]) -> int:
    """Bytes that events add to a tail."""
    return sum(len(event.body) for event in events if len(event.body) <= limits.BODY_BYTES)


def room_query(events: Sequence[EventRecord]) -> Document:
    """Selects sessions whose tail takes events."""
    return {
        "tail_count": {"$lte": limits.TAIL_EVENTS - len(events)},
        "tail_bytes": {"$lte": limits.TAIL_BYTES - bytes_in_tail(events)},
    }


def has_room(head: Head, events: Sequence[EventRecord]) -> bool:
    """Whether a session's tail takes events."""
    enough = head.tail_count <= limits.TAIL_EVENTS - len(events)
    return enough and head.tail_bytes <= limits.TAIL_BYTES - bytes_in_tail(events)


# Repetition: none of the events is stored already
#
# Chunks are not searched: an event newer than all that were moved to chunks
# cannot be in one. The newest few of those are compared one by one instead, so
# that one clock far ahead does not make every later event look old.


def new_query(events: Sequence[EventRecord]) -> Document:
    """Selects sessions that certainly have none of some events."""
    wanted = [event.digest for event in events]
    return {
        "tail.digest": {"$nin": wanted},
        "ahead.digest": {"$nin": wanted},
        "chunked_until": {"$lt": min(event.timestamp for event in events)},
    }


def is_new(head: Head, events: Sequence[EventRecord]) -> bool:
    """Whether a session certainly has none of some events."""
    in_tail = set(digests(head.tail))
    return not any(event.digest in in_tail or may_be_in_chunk(head, event) for event in events)


def may_be_in_chunk(head: Head, event: EventRecord) -> bool:
    """Whether an event may have been moved to a chunk already."""
    return event.timestamp <= head.chunked_until or event.digest in digests(head.ahead)


# Revision: nobody else has written


def revision_query(request: AppendRequest) -> Document:
    """Selects sessions as the request's writer knows them.

    With a known revision, nothing may be pending either: what an interrupted writer has left is applied first.
    """
    if request.expected is not None:
        return {"revision": request.expected, "pending": []}
    return {} if request.not_after is None else {"last_update_time": {"$lte": request.not_after}}


def is_at_revision(head: Head, request: AppendRequest) -> bool:
    """Whether a session is as the request's writer knows it."""
    if request.expected is not None:
        return head.revision == request.expected and not head.pending
    return request.not_after is None or head.last_update_time <= request.not_after


# Expiry of the session


def alive_query(expiry: Expiry) -> Document:
    """Selects sessions that have not expired."""
    return {"$nor": [expired_query(expiry)]}  # not by the field's name: other conditions ask for its value


def expired_query(expiry: Expiry) -> Document:
    """Selects sessions that have expired, and are still stored."""
    return {"expires_at": {"$lte": expiry.now()}}


def is_expired(expires_at: object, expiry: Expiry) -> bool:
    """Whether a session with this date, if it is one, has expired."""
    try:
        return utc(expires_at) <= expiry.now()
    except ValueError:
        return False


# Lifetime: the session's own, if it has one, is the one that the request's writer knows


def lifetime_query(lifetime: Lifetime, expiry: Expiry) -> Document:
    """Selects sessions that have a lifetime."""
    if lifetime.kind == "fixed":
        return {"ttl_ms": layout.UNTIL, "expires_at": expiry.expires_at()}
    return {"ttl_ms": None if lifetime.kind == "default" else lifetime.ttl_ms}


def has_lifetime(head: Head, lifetime: Lifetime) -> bool:
    """Whether a session has this lifetime."""
    return head.lifetime == lifetime


# Expiry of the session's chunks: neither too soon nor too late for a write of this store


def chunk_expiry_query(expiry: Expiry) -> Document:
    """Selects sessions whose chunks need no other date."""
    soonest, latest = expiry.chunk_range()
    return {"chunks_expire_at": {"$gte": soonest, "$lte": latest}}


def chunk_expiry_fits(head: Head, expiry: Expiry) -> bool:
    """Whether a session's chunks need no other date."""
    soonest, latest = expiry.chunk_range()
    return soonest <= head.chunks_expire_at <= latest
