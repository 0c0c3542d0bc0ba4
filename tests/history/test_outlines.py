"""Outlines: when one is stored, what is read by it, and that it hides nothing that was not known when it was stored."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.adk.sessions import Session
from google.genai import types
from support.adk_requests import sent
from support.memory_backend import DictionaryError, MemoryBackend
from support.processes import check_in_a_child

from adk_extra_sessions import SessionNotFoundError, SessionService, SessionStore
from adk_extra_sessions.history import outlines
from adk_extra_sessions.history.calls import response_ids
from adk_extra_sessions.options import History, StoreOptions
from adk_extra_sessions.testing.contract.samples import texts

NAMES = {"app_name": "app", "user_id": "user", "session_id": "one"}
BOTH = pytest.mark.parametrize("history", ["compacted", 3])


class CountingBackend(MemoryBackend):
    """Counts the events of each read and the outlines that are stored."""

    def __init__(self) -> None:
        super().__init__()
        self.read_events: list[int] = []
        self.stored = 0
        self.after_read: Callable[[], None] = lambda: None

    def read_part(self, *arguments: Any) -> Any:
        part = super().read_part(*arguments)
        self.read_events.append(sum(len(run.bodies) for run in part.runs) if part else 0)
        self.after_read()
        return part

    def store_outline(self, *arguments: Any) -> None:
        self.stored += 1
        super().store_outline(*arguments)


@pytest.fixture
def backend() -> CountingBackend:
    return CountingBackend()


def by(backend: MemoryBackend, history: History) -> SessionStore:
    return SessionStore(backend, StoreOptions(history=history))


def load(store: SessionStore, session_id: str = "one") -> Session:
    found = store.get_session(**{**NAMES, "session_id": session_id})
    assert found is not None
    return found


def write(store: SessionStore, events: list[Event], session_id: str = "one") -> None:
    """Appends events to a session, which is created if it does not exist."""
    names = {**NAMES, "session_id": session_id}
    session = store.get_session(**names) or store.create_session(**names)
    for outcome in store.append_many((session, event) for event in events):
        assert isinstance(outcome, Event), outcome


def turns(*numbers: int) -> list[Event]:
    parts = {number: types.Part(text=str(number)) for number in numbers}
    return [event(number, content=types.Content(role="user", parts=[part])) for number, part in parts.items()]


def event(number: int, author: str = "user", **fields: Any) -> Event:
    return Event(author=author, invocation_id=f"turn {number}", timestamp=1000.0 + number, **fields)


def call(number: int) -> Event:
    part = types.Part(function_call=types.FunctionCall(id="call", name="order", args={}))
    content = types.Content(role="model", parts=[part])
    return event(number, "agent", content=content, long_running_tool_ids={"call"})


def answer(number: int) -> Event:
    part = types.Part(function_response=types.FunctionResponse(id="call", name="order", response={"ok": True}))
    return event(number, content=types.Content(role="user", parts=[part]))


def summary(number: int, last: int, first: int = 0, scope: str | None = None) -> Event:
    content = types.Content(role="model", parts=[types.Part(text="Summary")])
    compaction = EventCompaction(start_timestamp=1000.0 + first, end_timestamp=1000.0 + last, compacted_content=content)
    return event(number, actions=EventActions(compaction=compaction), isolation_scope=scope)


def rewind(number: int, before: int) -> Event:
    return event(number, actions=EventActions(rewind_before_invocation_id=f"turn {before}"))


def test_a_call_that_waits_is_loaded_though_no_outline_knows_it(backend: CountingBackend) -> None:
    write(by(backend, "all"), [call(0), *turns(*range(1, 60))])
    backend.read_events.clear()
    assert load(by(backend, 3)).events[0].long_running_tool_ids == {"call"}
    assert backend.read_events == [19, 60]


def test_of_a_call_that_waits_and_of_its_answer_no_more_is_read_than_needed(backend: CountingBackend) -> None:
    store = by(backend, 3)
    write(store, turns(*range(30)))
    write(store, [call(30), *turns(*range(31, 70))])
    backend.read_events.clear()
    session = load(store)
    assert session.events[0].long_running_tool_ids == {"call"}
    assert backend.read_events == [20]  # 3, 16 more in which a turn begins, and the call
    for one in (answer(70), *turns(*range(71, 110))):
        store.append_event(session, one)
    backend.read_events.clear()
    assert texts(load(store))[-3:] == ["107", "108", "109"]
    assert backend.read_events == [19]


@pytest.mark.parametrize(("count", "before"), [(5, 2), (60, 10), (60, 58)])
def test_with_a_number_what_was_taken_back_is_not_loaded(backend: CountingBackend, count: int, before: int) -> None:
    write(by(backend, "all"), [*turns(*range(count)), rewind(count, before)])
    assert texts(load(by(backend, 3)))[-2:] == [str(before - 2), str(before - 1)]


def test_what_was_taken_back_stays_away_when_its_beginning_is_not_read(backend: CountingBackend) -> None:
    store = by(backend, 15)
    write(by(backend, "all"), [*turns(*range(50)), rewind(50, 10)])
    write(store, turns(51, 52))  # stores an outline
    assert texts(load(store)) == [str(number) for number in (*range(10), 51, 52)]


def test_a_late_answer_begins_no_turn_and_is_not_loaded_without_its_call(backend: CountingBackend) -> None:
    write(by(backend, 3), [call(0), *turns(*range(1, 57)), answer(57), *turns(58, 59)])
    for wanted, begin in ((3, 56), (20, 40)):
        assert texts(load(by(backend, wanted))) == [str(number) for number in (*range(begin, 57), 58, 59)]


def test_what_a_summary_replaced_is_there_again_when_a_rewind_takes_that_back(backend: CountingBackend) -> None:
    store, whole = by(backend, "compacted"), by(backend, "all")
    write(whole, [*turns(*range(30)), summary(30, 25)])
    write(store, turns(*range(31, 35)))  # stores an outline
    assert len(load(store).events) < 20
    write(whole, [rewind(35, 30)])
    assert sent(load(store).events) == sent(load(whole).events) != []


@pytest.mark.parametrize("ended", [lambda: rewind(60, 10), lambda: answer(60)], ids=["taken back", "answered"])
@pytest.mark.parametrize("later", [8, 60])
def test_a_call_that_was_ended_by_another_store_does_not_wait(
    backend: CountingBackend, later: int, ended: Callable[[], Event]
) -> None:
    store = by(backend, 3)
    write(store, [*turns(*range(10)), call(10), *turns(*range(11, 60))])
    assert load(store).events[0].long_running_tool_ids == {"call"}
    write(by(backend, "all"), [ended(), *turns(*range(61, 61 + later))])
    loaded = load(store).events
    assert not any(one.long_running_tool_ids for one in loaded) or any(map(response_ids, loaded))


@pytest.mark.parametrize(
    ("new", "begin"),
    [
        (summary(30, 25), 16),
        (summary(30, 15), 15),
        (summary(30, 14), 0),
        (summary(30, 25, first=2), 2),
        (summary(30, 25, scope="task"), 0),
    ],
    ids=["around", "to the same end", "to an earlier end", "from the same start", "another scope"],
)
@pytest.mark.parametrize("blocking", [True, False], ids=["store", "service"])
def test_a_summary_begins_after_others_that_it_would_replace_unseen(
    backend: CountingBackend, new: Event, begin: int, blocking: bool
) -> None:
    write(by(backend, "all"), [*turns(*range(20)), summary(20, 15, first=2), *turns(*range(21, 26))])
    store = by(backend, "compacted")
    session = load(store)
    assert len(session.events) < 25
    if blocking:
        store.append_event(session, new.model_copy(deep=True))
    else:
        asyncio.run(SessionService(store).append_event(session, new.model_copy(deep=True)))
    stored = load(by(backend, "all")).events[-1].actions.compaction
    assert stored is not None and stored.start_timestamp == 1000.0 + begin


def test_after_a_rewind_what_was_read_whole_is_not_read_again(backend: CountingBackend) -> None:
    write(by(backend, "all"), [*turns(*range(10)), rewind(10, 5)])
    backend.read_events.clear()
    assert texts(load(by(backend, "compacted")))[-1] == "4"
    assert backend.read_events == [11]


def test_a_long_turn_is_loaded_from_its_beginning_in_few_reads(backend: CountingBackend) -> None:
    store = by(backend, 3)
    write(store, [call(0), *turns(*range(1, 60))])
    steps = [event(60, "agent", custom_metadata={"n": number}) for number in range(300)]
    write(store, [*turns(60), *steps[:290], summary(61, 59), *steps[290:]])
    backend.read_events.clear()
    first, *rest = load(store).events
    assert first.long_running_tool_ids == {"call"} and len(backend.read_events) <= 4
    assert sum(one.invocation_id == "turn 60" for one in rest) == 301


@BOTH
def test_after_a_rewind_everything_is_read_once(backend: CountingBackend, history: History) -> None:
    store = by(backend, history)
    write(by(backend, "all"), [*turns(*range(60)), summary(60, 58), *turns(61, 62)])
    write(store, turns(63))
    write(by(backend, "all"), [rewind(64, 62)])
    write(store, turns(65))
    for number in (66, 67):
        backend.read_events.clear()
        write(store, turns(number))
        assert len(backend.read_events) == 1 and backend.read_events[0] < 30


@BOTH
def test_a_turn_of_words_and_tools_stores_no_outline_and_reads_nothing_more(
    backend: CountingBackend, history: History
) -> None:
    store = by(backend, history)
    write(by(backend, "all"), [*turns(*range(60)), summary(60, 58), call(61)])
    write(store, turns(62))
    backend.stored = 0
    backend.read_events.clear()
    for number in (63, 64, 65):
        write(store, turns(number))
    session = load(store)
    tool = [event(66, "agent", content=one.content) for one in (call(66), answer(66))]
    for one in (*turns(66), *tool):
        store.append_event(session, one)
    assert (backend.stored, len(backend.read_events)) == (0, 4)


def test_only_the_newest_better_outlines_are_remembered(
    backend: CountingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlines, "REMEMBERED", 1)
    store, sessions = by(backend, 3), []
    for name in ("one", "two"):
        write(by(backend, "all"), [call(0), *turns(*range(1, 60))], name)
        sessions.append(load(store, name))
    for session, stored in zip(sessions, (0, 1), strict=True):
        store.append_event(session, *turns(60))
        assert backend.stored == stored


def test_an_append_succeeds_though_its_outline_cannot_be_stored(
    backend: CountingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DictionaryError

    write(by(backend, "all"), [call(0), *turns(*range(1, 60))])
    store = by(backend, 3)
    session = load(store)
    monkeypatch.setattr(backend, "store_outline", fail)
    store.append_event(session, *turns(60))
    assert texts(session)[-1] == texts(load(by(backend, "all")))[-1] == "60"


def test_a_rewind_of_a_session_that_is_gone_is_refused_as_any_event(backend: CountingBackend) -> None:
    store = by(backend, 3)
    write(store, turns(*range(60)))
    session = load(store)
    store.delete_session(**NAMES)
    with pytest.raises(SessionNotFoundError):
        store.append_event(session, rewind(60, 58))


def test_a_session_deleted_between_two_reads_is_missing(backend: CountingBackend) -> None:
    store = by(backend, "compacted")
    write(by(backend, "all"), [*turns(*range(30)), summary(30, 25)])
    write(store, turns(31))
    write(by(backend, "all"), [rewind(32, 30)])
    backend.after_read = lambda: store.delete_session(**NAMES)
    assert store.get_session(**NAMES) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent(backend: CountingBackend) -> None:
    store = by(backend, 3)
    write(by(backend, "all"), [call(0), *turns(*range(1, 60))])
    assert store._outlines is not None
    with store._outlines._lock:
        check_in_a_child(lambda: texts(load(store))[-1] == "59")
