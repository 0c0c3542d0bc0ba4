"""Each condition of an append is the same as a query and in Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import documents, guards, layout, limits
from adk_extra_sessions.backends.mongodb.expiry import NEVER, Expiry, date_of
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.details import DEFAULT, Lifetime, SessionDetails
from adk_extra_sessions.details import NEVER as LASTING
from adk_extra_sessions.records import AppendRequest, EventRecord, NewSession, SessionKey
from adk_extra_sessions.state import StateTexts
from adk_extra_sessions.testing.contract.samples import an_event

KEY = SessionKey("app", "user", "one")
EVENTS = [Codec().encode(an_event(f"{n}", at=100.0 + n)) for n in range(2)]
SIZE = len(EVENTS[0].body)
OLD = documents.event_document(EVENTS[0])
EXPIRY = Expiry(1_000_000)
PENDING = {"id": "p", "app": {"ticket": 1, "state": {"a": 1}, "birth": "b"}}
UNTIL = Lifetime.until(EXPIRY.now().replace(tzinfo=timezone.utc).timestamp() + 60)
LIFETIMES = (DEFAULT, LASTING, Lifetime.sliding(5000), UNTIL)


def request(events: list[EventRecord], **known: Any) -> AppendRequest:
    return AppendRequest(KEY, events, **known)


Condition = tuple[Callable[[AppendRequest], Document], Callable[[Head, AppendRequest], bool]]

CONDITIONS: dict[str, Condition] = {
    "room": (lambda one: guards.room_query(one.events), lambda head, one: guards.has_room(head, one.events)),
    "new": (lambda one: guards.new_query(one.events), lambda head, one: guards.is_new(head, one.events)),
    "revision": (guards.revision_query, guards.is_at_revision),
    "alive": (
        lambda one: guards.alive_query(EXPIRY),
        lambda head, one: not guards.is_expired(head.expires_at, EXPIRY),
    ),
    "expired": (
        lambda one: guards.expired_query(EXPIRY),
        lambda head, one: guards.is_expired(head.expires_at, EXPIRY),
    ),
    **{
        f"lifetime {lifetime.kind}": (
            lambda one, lifetime=lifetime: guards.lifetime_query(lifetime, EXPIRY.of(lifetime)),
            lambda head, one, lifetime=lifetime: guards.has_lifetime(head, lifetime),
        )
        for lifetime in LIFETIMES
    },
    "chunk expiry": (
        lambda one: guards.chunk_expiry_query(EXPIRY),
        lambda head, one: guards.chunk_expiry_fits(head, EXPIRY),
    ),
}


def values() -> dict[str, list[Any]]:
    """Values of fields, on both sides of where a condition changes."""
    now = EXPIRY.now()
    seconds = [timedelta(seconds=number) for number in (-60, 60, 1400, 1600, 2900, 3100)]
    return {
        "tail_count": [0, limits.TAIL_EVENTS - 2, limits.TAIL_EVENTS - 1, limits.TAIL_EVENTS],
        "tail_bytes": [0, limits.TAIL_BYTES - 2 * SIZE, limits.TAIL_BYTES - SIZE, limits.TAIL_BYTES],
        "tail": [[], [OLD]],
        "ahead": [[], [{name: OLD[name] for name in ("timestamp", "digest")}]],
        "chunked_until": [float("-inf"), 99.0, 100.0, 101.0],
        "revision": [10, 11],
        "last_update_time": [50.0, 50.5],
        "pending": [[], [PENDING]],
        "ttl_ms": [None, 0, 5000, 6000],
        "expires_at": [*(now + one for one in seconds[:2]), NEVER],
        "chunks_expire_at": [*(now + one for one in seconds), NEVER],
    }


@pytest.mark.parametrize("name", CONDITIONS)
def test_both_forms_agree(store: MongoSessionStore, name: str) -> None:
    query, holds = CONDITIONS[name]
    known: list[dict[str, Any]] = [{"expected": 10}, {"not_after": 50.0}, {}]
    requests = [request(EVENTS[:count], **one) for count in (1, 2) for one in known]
    answers = set()
    new = NewSession(KEY, 10, "nonce", StateTexts(), SessionDetails(create_time=50.0))
    plain = documents.new_session(new, NEVER, NEVER, [])
    changes = [{field: one} for field, ones in values().items() for one in ones]
    changes += [
        {"ttl_ms": layout.UNTIL, "expires_at": date_of(UNTIL.expire_time) + timedelta(seconds=one)} for one in (0, 1)
    ]
    changes += [{**a, **b} for a, b in itertools.combinations(changes, 2) if name in ("room", "revision")]
    for number, change in enumerate(changes):
        store.backend.sessions.insert_one({**plain, **change, "_id": number})
    for one in requests:
        matched = {found["_id"] for found in store.backend.sessions.find(query(one), ["_id"])}
        for number, change in enumerate(changes):
            expected = holds(Head.of({**plain, **change}, KEY), one)
            assert (number in matched) == expected, f"{change}, {one}"
            answers.add(expected)
    assert answers == {True, False}
