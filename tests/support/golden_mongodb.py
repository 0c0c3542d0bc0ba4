"""What the golden records hold: sessions with every feature in use, written by today's code.

Run it to write tests/backends/mongodb/golden/records.json anew, which only a change of the stored form may need:

    python tests/support/golden_mongodb.py mongodb://localhost:27017
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bson import json_util
from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.genai import types

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import layout, limits
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.history.outline import NewOutline, Outline
from adk_extra_sessions.records import SessionKey

RECORDS = Path(__file__).parents[1] / "backends" / "mongodb" / "golden" / "records.json"

APP, USER = "shop: 1/2", "ada.$\N{LATIN SMALL LETTER E WITH ACUTE}"

LONG = "long"
"""A session with events in its tail, in chunks, and in a document of its own."""

PENDING = "pending"
"""A session whose writer died before shared state was applied."""

EMPTY = "empty"
"""A session without events and state, on which somebody has the turn."""

NAMED = "named"
"""A session with a name, labels, and a ttl of its own."""

LABELS = {"kind": "order", "a.b$": ""}

OUTLINE = Outline(130, 0, 100, ((0, 3), (60, 60)))
"""What a reader of a part of the long session reads."""

STATE: dict[str, Any] = {
    "text": "\N{GRINNING FACE}",
    "none": None,
    "float": 0.1,
    "infinite": float("inf"),
    "int64": -(2**63),
    "beyond-int64": 2**64,
    "list": [1, [], {}],
    "": "empty key",
    "a.b$c%": {"plain": {"$set": 1}},
    "user:plan": "gold",
    "app:a.b": [True],
}

DELTA: dict[str, Any] = {"text": "changed", "user:plan": "free", "app:new": 1}


def event(number: int, text: str, *, at: float | None = None, delta: dict[str, Any] | None = None) -> Event:
    """Makes an event that is the same in every run."""
    parts = [types.Part(text=text), types.Part(inline_data=types.Blob(data=b"\x00\xff", mime_type="image/png"))]
    return Event(
        id=f"event-{number}",
        timestamp=1000.5 + number if at is None else at,
        author="user",
        invocation_id=f"invocation-{number}",
        content=types.Content(role="user", parts=parts),
        actions=EventActions(state_delta=delta or {}),
    )


def long_history() -> list[Event]:
    """Returns the events of the long session: one from a clock far ahead, and one that is large."""
    events = [event(number, str(number)) for number in range(130)]
    events[5] = event(5, "ahead", at=99_000.0)
    events[60] = event(60, "large" * 1000)
    events[120] = event(120, "large" * 1000, delta={"text": "large"})
    return events


@contextmanager
def written(store: MongoSessionStore) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Writes the records, and has all documents while somebody has the turn."""
    names = {"app_name": APP, "user_id": USER}
    with patch.object(limits, "BODY_BYTES", 2000):
        session = store.create_session(**names, session_id=LONG, state=STATE)
        for one in long_history():
            store.append_event(session, one)
    key = SessionKey(APP, USER, LONG)
    part = store.backend.read_part(key, None, 1)
    assert part is not None and part.newest is not None
    store.backend.store_outline(key, NewOutline("compacted", OUTLINE, part.start_revision, part.newest))
    session = store.create_session(**names, session_id=PENDING)
    with patch.object(SharedStates, "apply", side_effect=ConnectionError), suppress(ConnectionError):
        store.append_event(session, event(0, "pending", delta=DELTA))
    store.create_session(**names, session_id=EMPTY)
    details = {"display_name": "Shoes \N{GRINNING FACE}", "labels": LABELS, "ttl": "30000d"}
    store.create_session(**names, session_id=NAMED, **details)
    with store.turn(**names, session_id=EMPTY):
        yield dump(store)


def dump(store: MongoSessionStore) -> dict[str, list[dict[str, Any]]]:
    """Returns all documents, by collection."""
    names = (layout.SESSIONS, layout.CHUNKS, layout.STATE, layout.TURNS)
    return {name: list(store.backend.database[name].find().sort("_id")) for name in names}


def load(store: MongoSessionStore) -> None:
    """Puts the golden records into a database."""
    for name, found in json_util.loads(RECORDS.read_text("utf-8")).items():
        store.backend.database[name].insert_many(found)


if __name__ == "__main__":
    with MongoSessionStore(sys.argv[1], db_name="golden", ttl="36500d") as golden:
        golden.client.drop_database("golden")
        with written(golden) as documents:
            text = json_util.dumps(documents, json_options=json_util.CANONICAL_JSON_OPTIONS)
        RECORDS.write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=True) + "\n", "utf-8")
        golden.client.drop_database("golden")
