"""What is stored has the fields that `layout` describes, and bodies come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from google.adk.sessions.base_session_service import GetSessionConfig
from support.histories import NAMES

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import layout, limits
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.history.outline import NewOutline, Outline
from adk_extra_sessions.records import AppendRequest, SessionKey, Window
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

KEY = SessionKey.of(*NAMES.values())

LATER = {"display_name", "labels", "parent_session_id", "root_session_id", "ttl_ms"}
"""Fields that have a place and are not written yet."""


def parts(store: MongoSessionStore) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each document and sub-document with the name that `layout.FIELDS` has for its kind."""
    for session in store.backend.sessions.find():
        yield layout.SESSIONS, session
        yield from (("event", one) for one in session["tail"])
        yield from (("pending", one) for one in session["pending"])
        yield from (("outline", one) for one in session.get("outlines", {}).values())
    for chunk in store.backend.chunks.find():
        yield ("chunk" if "events" in chunk else "large body"), chunk
        yield from (("event", one) for one in chunk.get("events", ()))
    yield from ((layout.STATE, state) for state in store.backend.states.find())
    yield from ((layout.TURNS, turn) for turn in store.backend.database[layout.TURNS].find())


def test_each_stored_field_is_described_and_each_described_field_is_stored(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"a": 1, "user:b": 2, "app:c": 3}
    session = store.create_session(**NAMES, state=state)
    store.append_many((session, an_event(str(number), delta={"a": number})) for number in range(100))
    store.append_event(session, an_event("x" * (limits.BODY_BYTES + 1)))
    waits = an_event("Please wait")
    waits.long_running_tool_ids = {"call"}
    store.append_event(session, waits)
    part = store.backend.read_part(KEY, None, 0)
    assert part is not None and part.newest is not None
    new = NewOutline("waiting", Outline(part.end, part.long_running, part.end), part.start_revision, part.newest)
    store.backend.store_outline(KEY, new)

    def broken(*arguments: Any) -> Any:
        raise ConnectionError("died")

    monkeypatch.setattr(type(store.backend.shared), "apply", broken)
    with pytest.raises(ConnectionError):
        store.append_event(session, an_event(delta={"user:b": 4, "app:c": 5}))
    with store.turn(**NAMES):
        met: dict[str, set[str]] = {kind: set() for kind in layout.FIELDS}
        for kind, part in parts(store):
            met[kind] |= set(part)
    described = {kind: set(fields) for kind, fields in layout.FIELDS.items()}
    described[layout.SESSIONS] -= LATER
    described[layout.STATE] -= {"returned"}  # only while appends race with an erasure
    assert met == described


@pytest.mark.parametrize("size", [100, limits.BODY_BYTES + 1], ids=["small", "large"])
@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00\x80", b'{"a": "\x00\xc3\xa9"}', b"\xed\xa0\x80"], ids=["bytes", "text", "surrogate"]
)
def test_a_body_comes_back_byte_for_byte(store: MongoSessionStore, body: bytes, size: int) -> None:
    """Whatever the codec makes of an event: nothing else looks into it."""
    session = store.create_session(**NAMES)
    bodies = [body + b"%d" % number + b"." * size for number in range(70)]
    plain = Codec().encode(an_event())
    for at, one in enumerate(bodies):
        record = attrs.evolve(plain, digest=Codec().digest(one), body=one, timestamp=float(at))
        asked = AppendRequest(KEY, [record], int(session._storage_update_marker or 0) + at)
        (outcome,) = store.backend.append([asked])
        assert outcome.error is None
    found = store.backend.read(KEY, Window())
    assert found is not None
    assert [one.encode() if isinstance(one, str) else one for one in found.bodies] == bodies


def test_text_can_be_read_by_people(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES)
    store.append_event(session, an_event("hello"))
    (event,) = store.backend.sessions.find_one()["tail"]
    assert isinstance(event["body"], str) and "hello" in event["body"]


def test_the_state_at_creation_is_kept(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES, state={"a": 1, "user:b": 2})
    store.create_session(app_name=APP, user_id=USER, session_id="empty")
    store.append_event(session, an_event(delta={"a": 2}))
    assert store.backend.sessions.find_one({"session_id": session.id})["initial_state"] == {"a": 1}
    assert "initial_state" not in store.backend.sessions.find_one({"session_id": "empty"})


def test_a_large_state_at_creation_takes_no_room_from_the_state(store: MongoSessionStore) -> None:
    session = store.create_session(**NAMES, state={"a": "x" * 9_000_000})
    store.append_event(session, an_event(delta={"b": "x" * 5_000_000}))
    assert store.backend.sessions.find_one()["initial_state"] is None


@pytest.mark.parametrize("pruned", [10, 36, 50, 144])
def test_a_history_without_its_front_is_whole(store: MongoSessionStore, pruned: int) -> None:
    """Nothing prunes yet; positions are absolute so that something may."""
    session = store.create_session(**NAMES)
    store.append_many((session, an_event(str(number), at=float(number))) for number in range(200))
    for chunk in list(store.backend.chunks.find()):
        if chunk["first"] + chunk["count"] <= pruned:
            store.backend.chunks.delete_one({"_id": chunk["_id"]})
    store.backend.sessions.update_one({}, {"$set": {"first_position": pruned}})
    store.append_event(session, an_event("200", at=200.0))
    kept = [str(number) for number in range(pruned, 201)]

    def read(**window: Any) -> list[str | None]:
        found = store.get_session(**NAMES, config=GetSessionConfig(**window))
        assert found is not None
        return texts(found)

    assert read() == kept
    assert read(num_recent_events=30) == kept[-30:]
    assert read(num_recent_events=190) == kept[-190:]
    assert read(after_timestamp=0.0) == kept
    assert read(after_timestamp=120.0) == [one for one in kept if int(one) >= 120]
    record = store.backend.read(KEY, Window(recent=5))
    assert record is not None
    earlier = [body for page in store.backend.earlier(record) for body in page]
    assert len(earlier) == len(kept) - 5


IN_EVERY_DOCUMENT = {**layout.NAMES, **layout.EXPIRY}


@pytest.mark.parametrize("kind", ["every document", *layout.FIELDS])
def test_the_page_describes_each_field_as_the_code_does(kind: str) -> None:
    page = Path(__file__).parents[3].joinpath("docs", "stored-form.md").read_text("utf-8")
    fields = layout.FIELDS.get(kind, IN_EVERY_DOCUMENT)
    # The page describes once what kinds have in common.
    elsewhere = {"every document": {}, "large body": layout.FIELDS["chunk"]}.get(kind, IN_EVERY_DOCUMENT)
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in fields.items() if name not in elsewhere)
    assert f"| field | meaning |\n| --- | --- |\n{rows}\n" in page
