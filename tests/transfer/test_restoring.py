"""Restoring a session: exactly, in pieces, again after any break, and never over another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from support.conversations import LENGTHS, bodies, events, fill_store
from support.memory_backend import MemoryBackend

from adk_extra_sessions import (
    CorruptRecordError,
    MongoSessionStore,
    RedisSessionStore,
    SessionConflictError,
    SessionNotFoundError,
    SessionStore,
    StaleSessionError,
)
from adk_extra_sessions.backends.redis.layout import Field, SessionKeys
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import (
    Status,
    StreamedSession,
    restore_session,
    restoring,
    stream_session,
    write_shared_state,
)

NAMES = {"app_name": APP, "user_id": "u:0"}


def streamed(store: SessionStore, session_id: str) -> StreamedSession:
    found = stream_session(store, **NAMES, session_id=session_id)
    assert found is not None
    return found


def stored(store: SessionStore, session_id: str) -> Session:
    found = store.get_session(**NAMES, session_id=session_id)
    assert found is not None
    return found


@pytest.mark.parametrize("session_id", LENGTHS)
def test_a_session_is_restored_exactly(store: SessionStore, other_store: SessionStore, session_id: str) -> None:
    fill_store(store, users=[0], lengths={session_id: LENGTHS[session_id]})
    source = streamed(store, session_id)
    assert source.count == LENGTHS[session_id]
    restored = restore_session(other_store, source.session, source.events)
    assert (restored.status, restored.events) == (Status.CREATED, source.count)
    assert bodies(other_store, session_id) == bodies(store, session_id)
    before, after = stored(store, session_id), stored(other_store, session_id)
    shared = {key for key in before.state if key.startswith(("app:", "user:"))}
    assert after.state == {key: value for key, value in before.state.items() if key not in shared}
    assert list(after.state) == [key for key in before.state if key not in shared]
    assert after.last_update_time == before.last_update_time
    for scope, user in (("app:", None), ("user:", "u:0")):
        state = {key.removeprefix(scope): value for key, value in before.state.items() if key.startswith(scope)}
        write_shared_state(other_store, app_name=APP, user_id=user, state=state)
    assert stored(other_store, session_id).state == before.state
    other_store.append_event(after, an_event("life goes on", delta={"k1": "new", "user:x": 1, "app:z": 1}))


def test_a_copy_claims_no_state_at_its_creation(store: SessionStore) -> None:
    live = store.create_session(**NAMES, state={"a": 1})
    store.append_event(live, an_event(delta={"a": "final"}))
    source = streamed(store, live.id)
    restore_session(store, source.session.model_copy(update={"id": "copy"}), source.events)
    assert stored(store, "copy").state == {"a": "final"}
    if isinstance(store, RedisSessionStore):
        key = SessionKeys.of(store.prefix, SessionKey(**NAMES, session_id="copy")).session
        assert store.client.hget(key, Field.initial_state) in ("null", b"null")
    else:
        assert isinstance(store, MongoSessionStore)
        assert store.backend.sessions.find_one({"session_id": "copy"})["initial_state"] is None


def test_restoring_what_is_there_writes_nothing(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_store(store, users=[0])
    monkeypatch.setattr(type(store.backend), "set_time", None)  # it must not even write what is there
    for session_id in LENGTHS:
        source, live = streamed(store, session_id), stored(store, session_id)
        restored = restore_session(store, source.session, source.events)
        assert (restored.status, restored.events) == (Status.SAME, 0)
        store.append_event(live, an_event())  # at the very revision


@pytest.mark.parametrize("broken_after", [0, 50, 51, 230])
def test_a_copy_that_broke_off_is_completed(store: SessionStore, broken_after: int) -> None:
    class Broken(Exception):
        pass

    def breaking(all_events: list[Event]) -> Iterator[Event]:
        yield from all_events[:broken_after]
        raise Broken

    session = Session(id="one", **NAMES, state={"k": 1.5, "app:not": "here"}, last_update_time=77.25)
    with pytest.raises(Broken):
        restore_session(store, session, breaking(events("one", 450)))
    assert 0 <= len(bodies(store, "one")) <= broken_after
    assert stored(store, "one").state == {"k": 1.5}  # from the first moment on
    restored = restore_session(store, session, events("one", 450))
    assert restored.status is Status.CONTINUED
    assert [event.id for event in stored(store, "one").events] == [f"e{number}" for number in range(450)]
    assert stored(store, "one").last_update_time == 77.25
    assert restore_session(store, session, events("one", 450)).status is Status.SAME


def test_what_the_source_got_meanwhile_is_copied_with_its_state(store: SessionStore) -> None:
    session = Session(id="one", **NAMES, state={"k": 1}, last_update_time=1004.0)
    restore_session(store, session, events("one", 3))
    newest = events("one", 60)[-1].timestamp
    later = Session(id="one", **NAMES, state={"k": 2, "new": True}, last_update_time=newest)
    restored = restore_session(store, later, events("one", 60))
    assert (restored.status, restored.events) == (Status.CONTINUED, 57)
    found = stored(store, "one")
    assert (found.state, found.last_update_time, len(found.events)) == ({"k": 2, "new": True}, newest, 60)
    later.last_update_time = 5e9
    assert [restore_session(store, later, events("one", 60)).status for _ in range(2)] == [
        Status.CONTINUED,
        Status.SAME,
    ]


def test_no_request_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "REQUEST_BYTES", 1000)
    coming = [an_event("x" * 2000, at=1.0), *(an_event(str(number), at=2.0 + number) for number in range(30))]
    with SessionStore(MemoryBackend()) as store:
        append, sizes = store.backend.append, []

        def measured(requests: Any) -> Any:
            sizes.extend([len(event.body) for event in request.events] for request in requests)
            return append(requests)

        store.backend.append = measured  # type: ignore[method-assign]
        restore_session(store, Session(id="one", **NAMES, last_update_time=5.0), coming)
    assert sum(map(len, sizes)) == 31
    assert all(sum(one) <= 1000 for one in sizes[1:]) and len(sizes[1]) > 1 and len(sizes[2]) > 1


def test_an_event_that_comes_twice_is_no_obstacle(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "REQUEST_EVENTS", 3)
    one, two, three = events("one", 3)
    restore_session(store, Session(id="one", **NAMES, last_update_time=5.0), [one, two, one, three])
    assert [event.id for event in stored(store, "one").events] == ["e0", "e1", "e2"]


def test_a_session_that_another_writes_to_meanwhile_is_not_mixed(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "REQUEST_EVENTS", 3)

    def interrupted() -> Iterator[Event]:
        yield from events("one", 10)[:5]
        store.append_event(stored(store, "one"), an_event("another"))
        yield from events("one", 10)[5:]

    with pytest.raises(StaleSessionError):
        restore_session(store, Session(id="one", **NAMES, last_update_time=5.0), interrupted())


@pytest.mark.parametrize(
    ("state", "there", "reason"),
    [
        ({"a": 1}, [*events("one", 2), an_event("another", at=1.0)], "event 2 is a different one"),
        ({"a": 1}, [*events("one", 3), an_event("more", at=2000.0)], "more events than the source, which has 3"),
        ({"a": 1, "k": 2}, events("one", 3), "state key 'k', which the source has not"),
        ({"a": 1, "k": 2}, events("one", 2), "state key 'k', which the source has not"),
        ({"a": 2}, events("one", 3), "state key 'a' differs"),
    ],
)
def test_another_session_in_the_way_is_left_alone(
    store: SessionStore, state: dict[str, object], there: list[Event], reason: str
) -> None:
    restore_session(store, Session(id="one", **NAMES, state=state, last_update_time=5.0), there)
    before = stored(store, "one")
    with pytest.raises(SessionConflictError, match=reason):
        restore_session(store, Session(id="one", **NAMES, state={"a": 1}, last_update_time=6.0), events("one", 3))
    assert stored(store, "one") == before


def test_a_session_deleted_while_it_is_compared_is_named(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(id="one", **NAMES, last_update_time=5.0)
    restore_session(store, session, [])

    def deleted_first(*arguments: object, **names: str) -> StreamedSession | None:
        store.delete_session(**names)
        return stream_session(store, **names)

    monkeypatch.setattr(restoring, "stream_session", deleted_first)
    with pytest.raises(SessionNotFoundError, match="'one'"):
        restore_session(store, session, [])


def test_values_that_json_has_no_word_for(store: SessionStore, other_store: SessionStore) -> None:
    values = {"nan": float("nan"), "inf": float("inf"), "large": 2**80, "dict": {"b": 1, "a": [float("-inf")]}}
    live = store.create_session(**NAMES, session_id="one", state=values)
    store.append_event(live, an_event(at=5.0, delta=values))
    for _ in range(2):  # the second time everything is compared
        source = streamed(store, "one")
        status = restore_session(other_store, source.session, source.events).status
    assert status is Status.SAME
    # Each by its text, since NaN equals nothing; a large hash of Redis does not keep the order of its keys.
    assert {k: repr(v) for k, v in stored(other_store, "one").state.items()} == {k: repr(v) for k, v in values.items()}
    assert bodies(other_store, "one") == bodies(store, "one")


def test_the_order_of_keys_in_a_value_is_no_difference(store: SessionStore) -> None:
    for value in ({"b": 1, "a": 2}, {"a": 2, "b": 1}):  # some databases sort them
        session = Session(id="one", **NAMES, state={"dict": value}, last_update_time=1000.5)
        status = restore_session(store, session, [an_event(id="e", at=1000.5, custom_metadata=value)]).status
    assert status is Status.SAME


def test_a_stream_is_the_session_as_it_was(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"long": 450})
    source = streamed(store, "long")
    store.append_event(stored(store, "long"), an_event("later"))
    assert [event.id for event in source.events] == [f"e{number}" for number in range(450)]


def test_a_short_session_is_read_whole_before_it_can_be_deleted(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    source = streamed(store, "short")
    store.delete_session(**NAMES, session_id="short")
    assert [event.id for event in source.events] == ["e0", "e1", "e2"]


@pytest.mark.parametrize("backend", ["fakeredis"])  # where each event can be damaged by itself
def test_an_event_that_cannot_be_read_is_named_by_its_position(store: SessionStore) -> None:
    assert isinstance(store, RedisSessionStore)
    fill_store(store, users=[0], lengths={"long": 1500})
    events_key = SessionKeys.of(store.prefix, SessionKey(**NAMES, session_id="long")).events
    store.client.lset(events_key, 2 * 1111 + 1, "{}garbage")
    with pytest.raises(CorruptRecordError, match="1111"):
        list(streamed(store, "long").events)


def test_a_session_deleted_under_a_stream_is_never_mixed_with_its_successor(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"long": 450})
    source = streamed(store, "long")
    store.delete_session(**NAMES, session_id="long")
    fill_store(store, users=[0], lengths={"long": 450})
    with pytest.raises(SessionNotFoundError):
        list(source.events)


def test_a_session_deleted_amid_a_stream_is_named(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"long": 1500})
    coming = iter(streamed(store, "long").events)
    next(coming)
    store.delete_session(**NAMES, session_id="long")
    with pytest.raises(SessionNotFoundError):
        list(coming)


def test_a_time_is_not_set_over_a_newer_one(store: SessionStore) -> None:
    live = store.create_session(**NAMES, session_id="one")
    stale = stored(store, "one")
    store.append_event(live, an_event(at=50.0))
    from adk_extra_sessions.adk.private import storage_marker
    from adk_extra_sessions.records import SessionKey

    store.archive.set_time(SessionKey.of(APP, "u:0", "one"), int(storage_marker(stale) or 0), 1.0)
    assert stored(store, "one").last_update_time == 50.0
    with pytest.raises(StaleSessionError):
        store.append_event(stale, an_event())
