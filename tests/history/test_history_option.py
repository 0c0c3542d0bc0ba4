"""The option `history`: what `get_session` loads with it, and that all else is as without it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from support.adk_requests import sent
from support.memory_backend import MemoryBackend
from support.random_histories import AGENTS, RandomHistory

from adk_extra_sessions import SessionStore
from adk_extra_sessions.errors import ClosedError, ConfigurationError, InputValidationError
from adk_extra_sessions.history.outline import Part
from adk_extra_sessions.history.rewinds import is_rewind
from adk_extra_sessions.options import StoreOptions

NAMES = {"app_name": "app", "user_id": "user", "session_id": "one"}

MakeStore = Callable[..., SessionStore]


def load(store: SessionStore) -> Session:
    session = store.get_session(**NAMES)
    assert session is not None
    return session


def append_all(store: SessionStore, session: Session, events: list[Event]) -> None:
    for outcome in store.append_many((session, event.model_copy(deep=True)) for event in events):
        assert isinstance(outcome, Event), outcome


def assert_same_requests(part: list[Event], whole: list[Event]) -> None:
    for agent in AGENTS:
        for branch in (None, "root.helper"):
            assert sent(part, agent, branch=branch) == sent(whole, agent, branch=branch)


class Reads:
    """Counts what is read of a store's sessions, and how often."""

    def __init__(self, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[Part] = []
        read_part = store.backend.read_part  # type: ignore[attr-defined]

        def counted(*arguments: Any) -> Part | None:
            part = read_part(*arguments)
            if part is not None:
                self.parts.append(part)
            return part

        monkeypatch.setattr(store.backend, "read_part", counted)

    def events(self) -> int:
        """Returns how many events were read since the last time."""
        parts, self.parts = self.parts, []
        return sum(len(run.bodies) for part in parts for run in part.runs)


class HistoryOption:
    """What is loaded. Supply the fixture `make`, which makes stores on the same storage."""

    @pytest.mark.parametrize("seed", range(6))
    def test_with_compacted_the_model_is_sent_the_same_at_any_time(self, make: MakeStore, seed: int) -> None:
        chance = random.Random(seed)
        history = RandomHistory(chance)
        stores = [make(history="compacted"), make(history="compacted"), make(history=5), make()]
        stores[0].create_session(**NAMES)
        stored = 0
        for _ in range(8):
            history.grow(chance.randint(1, 5))
            writer = chance.choice(stores)
            session = load(writer)
            added = [event for event in history.events[stored:] if writer is stores[3] or not is_rewind(event)]
            history.events[stored:] = added
            append_all(writer, session, added)
            stored = len(history.events)
            whole = load(stores[3]).events
            assert [event.id for event in whole] == [event.id for event in history.events]
            history.events = whole  # a summary of what was loaded in part may begin later
            assert_same_requests(load(chance.choice(stores[:2])).events, history.events)

    @pytest.mark.parametrize("wanted", [3, 20])
    @pytest.mark.parametrize("seed", range(3))
    def test_with_a_number_so_many_are_loaded_and_all_calls_that_wait(
        self, make: MakeStore, seed: int, wanted: int
    ) -> None:
        history = RandomHistory(random.Random(seed), rewinds=False)
        store = make(history=wanted)
        store.create_session(**NAMES)
        stored = 0
        for _ in range(10):
            history.grow(4)
            session = load(store)
            append_all(store, session, history.events[stored:])
            stored = len(history.events)
            part = load(store).events
            assert len(part) >= min(wanted, len(history.events)) - sum(e.author == "user" for e in history.events)
            called = {call.id for event in part for call in event.get_function_calls()}
            assert {one for one, _ in history.answers()} <= called
            loaded = [event.id for event in part]  # a summary may have been stored with a later beginning
            assert loaded == [event.id for event in history.events if event.id in loaded]

    def test_what_is_loaded_is_read_at_once_and_in_proportion(
        self, make: MakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, history in (("compacted", "compacted"), ("number", 20)):
            store = make(history=history)
            session = store.create_session(**{**NAMES, "session_id": name})
            said = RandomHistory(random.Random(1), rewinds=False)
            said.reused_ids = said.unsteady_clock = False
            for _ in range(30):
                for _ in range(5):
                    said._text()
                said._summary()
            append_all(store, session, said.events)
            reads = Reads(store, monkeypatch)
            loaded = store.get_session(**{**NAMES, "session_id": name})
            assert loaded is not None and len(reads.parts) == 1
            assert reads.events() < 60 < len(said.events) / 5

    def test_a_session_loaded_in_part_is_appended_to_as_any_other(self, make: MakeStore) -> None:
        history = RandomHistory(random.Random(3), rewinds=False)
        history.grow(20)
        store, whole = make(history=4), make()
        append_all(store, store.create_session(**NAMES), history.events)
        session = load(store)
        said = history.user_event()
        store.append_event(session, said)
        assert session.events[-1] is said
        assert load(whole).events == [*history.events, said]
        stale = load(store)
        append_all(store, load(store), [history.user_event()])
        with pytest.raises(ValueError, match="modified in storage"):
            store.append_event(stale, history.user_event())

    def test_a_config_goes_before_it(self, make: MakeStore) -> None:
        history = RandomHistory(random.Random(3))
        history.grow(20)
        whole = make()
        append_all(whole, whole.create_session(**NAMES), history.events)
        for store in (make(history="compacted"), make(history=2)):
            for config in (
                GetSessionConfig(),
                GetSessionConfig(num_recent_events=7),
                GetSessionConfig(after_timestamp=0),
            ):
                session = store.get_session(**NAMES, config=config)
                assert session is not None
                count = config.num_recent_events or len(history.events)
                assert session.events == history.events[-count:]
            session = store.get_session(**NAMES, config=GetSessionConfig(num_recent_events=0))
            assert session is not None and session.events == []

    def test_a_rewind_needs_all_events(self, make: MakeStore) -> None:
        history = RandomHistory(random.Random(3), rewinds=False)
        history.grow(20)
        store, whole = make(history=4), make()
        append_all(store, store.create_session(**NAMES), history.events)
        history.rewinds = True
        while not is_rewind(history.events[-1]):
            history._rewind()
        session = load(store)
        with pytest.raises(InputValidationError, match="history='all'"):
            store.append_event(session, history.events[-1])
        other = store.create_session(**{**NAMES, "session_id": "other"})
        outcomes = store.append_many([(session, history.events[-1]), (other, history.events[0])])
        assert [type(one) for one in outcomes] == [InputValidationError, Event]
        assert load(whole).events == history.events[:-1]
        store.append_event(store.get_session(**NAMES, config=GetSessionConfig()), history.events[-1])
        assert load(whole).events == history.events
        store.close()
        with pytest.raises(ClosedError):
            store.append_event(session, history.events[-1])

    def test_another_session_of_the_name_is_not_read_by_an_old_outline(self, make: MakeStore) -> None:
        history = RandomHistory(random.Random(3), rewinds=False)
        history.grow(20)
        store = make(history="compacted")
        append_all(store, store.create_session(**NAMES), history.events)
        load(store)
        store.delete_session(**NAMES)
        again = RandomHistory(random.Random(4), rewinds=False)
        again.grow(10)
        append_all(store, store.create_session(**NAMES), again.events)
        assert_same_requests(load(store).events, again.events)

    def test_a_missing_session_is_none(self, make: MakeStore) -> None:
        assert make(history="compacted").get_session(**NAMES) is None
        assert make(history=10).get_session(**NAMES) is None


class TestOnDatabases(HistoryOption):
    @pytest.fixture
    def make(self, make_store: MakeStore) -> MakeStore:
        return make_store


class TestOnDictionary(HistoryOption):
    @pytest.fixture
    def make(self) -> MakeStore:
        backend = MemoryBackend()
        return lambda **options: SessionStore(backend, StoreOptions(**options))


@pytest.mark.parametrize("wrong", ["some", "", 0, -1, "0", True, 1.5, ["all"], "٣"])
def test_another_word_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="history must be"):
        StoreOptions(history=wrong)  # type: ignore[arg-type]


def test_it_may_stand_in_the_url() -> None:
    from adk_extra_sessions import MongoSessionService, RedisSessionService

    assert RedisSessionService("fakeredis://history?history=compacted").store.options.history == "compacted"
    assert MongoSessionService("mongomock://history/base?history=50").store.options.history == 50
    assert RedisSessionService("fakeredis://history").store.options.history == "all"
