"""Every operation of a store, drawn at random and compared with the model after every step."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule
from support.session_model import Holder, Model, commit, without_temp

from adk_extra_sessions import SessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import AlreadyExistsError
from adk_extra_sessions.records import SessionKey

PIECE = 3
"""Events of one live session that are stored in one go, at most; see `small_limits` of the test."""

# The first of each is drawn most, so that some sessions get a long history.
APPS = ["shop", "a/{b}"]
USERS = ["ada", "*"]
IDS = ["one", "a:é"]
NAMES = ["a", "b.$c"]

values = st.sampled_from([None, 0, 2**70, 0.5, "", "text", [], {}, {"$set": {"a.b": None}}, [1, {"": "x"}]])
deltas = st.dictionaries(
    st.tuples(st.sampled_from(["", "", "user:", "app:", "temp:"]), st.sampled_from(NAMES)).map("".join),
    values,
    max_size=4,
)
clock_steps = st.sampled_from([0.0, 0.0, 1.0, 1.0, 1.0, 30.0, -1.0, -40.0])
sizes = st.sampled_from([1, 1, 1, 300, 1500])
# How many of the newest, and from the time of which event on.
windows = st.tuples(
    st.none() | st.integers(0, 12), st.none() | st.tuples(st.integers(0, 30), st.sampled_from([-0.5, 0.0, 0.0, 0.5]))
)
keys = st.tuples(*(st.sampled_from([*names, *names[:1] * 3]) for names in (APPS, USERS, IDS)))


class Machine(RuleBasedStateMachine):
    """Every operation of a store, on several sessions with several holders each.

    Attributes:
        strict, lenient: Stores on the same storage; only the first refuses superseded sessions.
        readers: Stores on it that sessions are loaded from.
    """

    holders = Bundle("holders")
    events = Bundle("events")
    examples = itertools.count()

    def __init__(self, strict: SessionStore, lenient: SessionStore, readers: Sequence[SessionStore]) -> None:
        super().__init__()
        self.strict, self.lenient, self.readers = strict, lenient, readers
        self.model = Model()
        self.held: list[Holder] = []
        self.run = f"{next(self.examples)}-"  # names of its own, in storage that all examples share
        self.now = 1000.0
        self.numbers = itertools.count()
        self.steps = itertools.count()

    def key(self, names: Sequence[str]) -> SessionKey:
        return SessionKey(self.run + names[0], names[1], names[2])

    def a_holder(self, key: SessionKey, live: Session, revision: int | None, events: list[Event]) -> Holder:
        holder = Holder(key, live, revision, live.last_update_time, dict(live.state), [without_temp(e) for e in events])
        self.held.append(holder)
        return holder

    @rule(target=holders, names=keys, state=deltas, pad=st.sampled_from(["", " ", "\t\n"]))
    def create(self, names: Any, state: Any, pad: str) -> Any:
        key = self.key(names)
        arguments = {"app_name": key.app_name, "user_id": key.user_id, "session_id": pad + key.session_id + pad}
        if key in self.model.sessions:
            with pytest.raises(AlreadyExistsError):
                self.strict.create_session(**arguments, state=state)
            return multiple()
        live = self.strict.create_session(**arguments, state=state)
        self.model.create(key, state, live.last_update_time)
        assert (live.app_name, live.user_id, live.id) == (key.app_name, key.user_id, key.session_id)
        temp = {name: value for name, value in state.items() if name.startswith("temp:")}
        assert live.state == {**self.model.state(key), **temp}
        assert live.events == []
        return self.a_holder(key, live, self.model.sessions[key].revision, [])

    @rule(target=holders, names=keys, window=windows, reader=st.integers(0, 11))
    def load(self, names: Any, window: Any, reader: int) -> Any:
        key = self.key(names)
        live = self.read(key, window, self.readers[reader % len(self.readers)])
        return multiple() if live is None else self.a_holder(key, live, self.model.sessions[key].revision, live.events)

    def read(self, key: SessionKey, window: Any, store: SessionStore) -> Session | None:
        """Reads a session and compares it with the model's."""
        recent, after = window[0], None
        if window[1] is not None:
            stored = self.model.sessions.get(key)
            times = [event.timestamp for event in stored.events] if stored else []
            after = [*times, self.now][window[1][0] % (len(times) + 1)] + window[1][1]
        config = GetSessionConfig(num_recent_events=recent, after_timestamp=after) if window != (None, None) else None
        names = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        found = store.get_session(**names, config=config)
        if key not in self.model.sessions:
            assert found is None
            return None
        assert found is not None
        expected = self.model.events(key, recent, after)
        if config is None and isinstance(store.options.history, int):  # as many, or more
            expected = expected[-max(len(found.events), store.options.history) :]
        assert found.events == expected
        self.compare(found)
        return found

    def compare(self, found: Session) -> None:
        key = SessionKey(found.app_name, found.user_id, found.id)
        assert found.state == self.model.state(key)
        assert found.last_update_time == self.model.sessions[key].last_update_time

    @rule(target=holders, holder=holders)
    def send_as_json(self, holder: Holder) -> Holder:
        """What a front end may do with a session: its marker gets lost on the way."""
        live = type(holder.live).model_validate_json(holder.live.model_dump_json())
        return self.a_holder(holder.key, live, None, holder.events)

    @rule(target=events, delta=deltas, step=clock_steps, size=sizes, same_id=st.booleans())
    def happen(self, delta: Any, step: float, size: int, same_id: bool) -> Event:
        return self.an_event(delta, step, size, same_id)

    def an_event(
        self, delta: Any, step: float = 1.0, size: int = 1, same_id: bool = False, partial: bool = False
    ) -> Event:
        number = next(self.numbers)
        self.now += step
        return Event(
            id="same" if same_id else f"e{number}",
            author="agent",
            invocation_id="invocation",
            timestamp=self.now,
            partial=partial or None,
            content=types.Content(role="model", parts=[types.Part(text=f"{number} " + "x" * size)]),
            actions=EventActions(state_delta=dict(delta)),
        )

    @rule(holder=holders, delta=deltas, step=clock_steps, size=sizes, strict=st.booleans())
    def append_new(self, holder: Holder, delta: Any, step: float, size: int, strict: bool) -> None:
        self.append(holder, self.an_event(delta, step, size), strict)

    @rule(holder=holders, data=st.data(), strict=st.booleans())
    def append_again(self, holder: Holder, data: Any, strict: bool) -> None:
        stored = self.model.sessions.get(holder.key)
        if stored and stored.events:
            self.append(holder, data.draw(st.sampled_from(stored.events)).model_copy(deep=True), strict)

    @rule(holder=holders, steps=st.lists(clock_steps, min_size=4, max_size=12))
    def append_several(self, holder: Holder, steps: list[float]) -> None:
        for step in steps:
            self.append(holder, self.an_event({"a": step}, step), strict=False)

    @rule(holder=holders, event=events, strict=st.booleans(), copied=st.booleans())
    def append_one_that_may_be_stored(self, holder: Holder, event: Event, strict: bool, copied: bool) -> None:
        self.append(holder, event.model_copy(deep=True) if copied else event, strict)

    @rule(holder=holders, delta=deltas)
    def append_partial(self, holder: Holder, delta: Any) -> None:
        event = self.an_event(delta, partial=True)
        before = event.model_copy(deep=True)
        assert self.strict.append_event(holder.live, event) is event
        assert event == before

    @rule(holder=holders, event=events, strict=st.booleans())
    def append_and_lose_the_reply(self, holder: Holder, event: Event, strict: bool) -> None:
        store = self.strict if strict else self.lenient
        write = store.backend.append

        def lost(requests: Any) -> Any:
            write(requests)
            raise ConnectionError("lost")

        before = event.model_copy(deep=True)
        store.backend.append = lost  # type: ignore[method-assign]
        try:
            with pytest.raises(ConnectionError):
                store.append_event(holder.live, event)
        finally:
            store.backend.append = write  # type: ignore[method-assign]
        self.model.append(holder, [event], strict=strict)
        assert event == before

    def append(self, holder: Holder, event: Event, strict: bool) -> None:
        store = self.strict if strict else self.lenient
        (expected,) = self.expect([(holder, event)], strict)
        if isinstance(expected, type):
            with pytest.raises(expected):
                store.append_event(holder.live, event)
        else:
            assert store.append_event(holder.live, event) is event
        assert event == (expected if isinstance(expected, Event) else event)

    def expect(self, batch: Sequence[tuple[Holder, Event]], strict: bool) -> list[Any]:
        """Does a batch to the model: for each append the event as it must be then, or the error."""
        expected: dict[int, Any] = {}
        by_holder: dict[int, list[int]] = {}
        for at, (holder, _) in enumerate(batch):
            by_holder.setdefault(id(holder), []).append(at)
        for run in by_holder.values():
            holder = batch[run[0]][0]
            refused: Any = None
            pieces = [run[at : at + PIECE] for at in range(0, len(run), PIECE)]
            for piece in pieces:
                events = [batch[at][1] for at in piece]
                result = refused or self.model.append(holder, events, strict=strict)
                if isinstance(result, type):
                    refused = result
                    expected.update(dict.fromkeys(piece, refused))
                    continue
                fresh = commit(holder, events, result, strict=strict)
                for at, event, new in zip(piece, events, fresh, strict=True):
                    expected[at] = without_temp(event) if new else event.model_copy(deep=True)
        return [expected[at] for at in range(len(batch))]

    @rule(data=st.data(), strict=st.booleans())
    @precondition(lambda self: self.held)
    def append_many(self, data: Any, strict: bool) -> None:
        """One call for several sessions, a run of new and repeated events each."""
        batch = self.a_batch(data, repeat=True)
        store = self.strict if strict else self.lenient
        self.check(
            batch, self.expect(batch, strict), store.append_many([(holder.live, event) for holder, event in batch])
        )

    @rule(data=st.data(), strict=st.booleans())
    @precondition(lambda self: self.held)
    def append_at_once(self, data: Any, strict: bool) -> None:
        """Tasks of a service; how many of them travel together is a matter of chance, and must not matter."""
        batch = self.a_batch(data, repeat=False)

        async def gather() -> list[Any]:
            service = SessionService(self.strict if strict else self.lenient)
            tasks = (service.append_event(holder.live, event) for holder, event in batch)
            try:
                return await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                await service.close()

        self.check(batch, self.expect(batch, strict), asyncio.run(gather()))

    def a_batch(self, data: Any, repeat: bool) -> list[tuple[Holder, Event]]:
        """At most one holder of each session, and no shared key twice: else the order would be anybody's guess."""
        drawn = data.draw(st.lists(st.sampled_from(range(len(self.held))), min_size=1, max_size=3))
        chosen = list({self.held[at].key: self.held[at] for at in drawn}.values())
        if repeat:
            chosen = [holder for holder in chosen if holder.revision is not None] or chosen[:1]
        batch = []
        for number, holder in enumerate(chosen):
            for _ in range(data.draw(st.integers(1, 5))):
                stored = self.model.sessions.get(holder.key)
                if repeat and holder.revision is not None and stored and stored.events and data.draw(st.booleans()):
                    event = data.draw(st.sampled_from(stored.events)).model_copy(deep=True)
                else:
                    delta = {f"{name}{number}": value for name, value in data.draw(deltas).items()}
                    event = self.an_event(delta, data.draw(clock_steps), data.draw(sizes))
                batch.append((holder, event))
        return batch

    def check(self, batch: Sequence[tuple[Holder, Event]], expected: Sequence[Any], results: Sequence[Any]) -> None:
        for (_, event), wanted, result in zip(batch, expected, results, strict=True):
            if isinstance(wanted, type):
                assert type(result) is wanted
            else:
                assert result is event and event == wanted

    @rule(names=keys)
    def delete(self, names: Any) -> None:
        key = self.key(names)
        self.strict.delete_session(app_name=key.app_name, user_id=key.user_id, session_id=f" {key.session_id} ")
        self.model.sessions.pop(key, None)

    @rule(target=holders, names=keys)
    def create_again(self, names: Any) -> Any:
        """Another session under the same id, with as many events: whoever has the first one in memory must notice."""
        stored = self.model.sessions.get(self.key(names))
        if stored is None:
            return multiple()
        self.delete(names)
        holder = self.create(names, {}, "")
        for _ in stored.events:
            self.append(holder, self.an_event({}), strict=False)
        return holder

    @rule(app=st.sampled_from(APPS), user=st.none() | st.sampled_from([*USERS, ""]), page_size=st.integers(1, 4))
    def list_page_by_page(self, app: str, user: str | None, page_size: int) -> None:
        found = list(self.strict.iter_sessions(app_name=self.run + app, user_id=user, page_size=page_size))
        expected = self.model.listed(self.run + app, user)
        assert len(found) == len(expected)
        assert {(one.user_id, one.id) for one in found} == {(key.user_id, key.session_id) for key in expected}
        for one in found:
            self.compare(one)

    @rule(app=st.sampled_from(APPS), user=st.sampled_from(USERS))
    def read_user_state(self, app: str, user: str) -> None:
        self.check_user_state(app, user)

    def check_user_state(self, app: str, user: str) -> None:
        found = self.strict.get_user_state(app_name=self.run + app, user_id=user)
        assert found == self.model.user_state(self.run + app, user)

    @invariant()
    def lists_agree(self) -> None:
        for app in APPS:
            found = self.strict.list_sessions(app_name=self.run + app).sessions
            expected = self.model.listed(self.run + app, None)
            assert [(one.user_id, one.id) for one in found] == [(key.user_id, key.session_id) for key in expected]
            for one in found:
                self.compare(one)
                assert one.events == []

    @invariant()
    def readers_agree(self) -> None:
        """Reads the session that is written to most, from each store in turn."""
        reader = self.readers[next(self.steps) % len(self.readers)]
        self.read(self.key((APPS[0], USERS[0], IDS[0])), (None, None), reader)

    @invariant()
    def live_sessions_agree(self) -> None:
        for holder in self.held:
            assert holder.live.state == holder.state
            assert holder.live.events == holder.events
            assert holder.live.last_update_time == holder.last_update_time

    def teardown(self) -> None:
        for names in itertools.product(APPS, USERS, IDS):
            for store in self.readers:
                self.read(self.key(names), (None, None), store)
        for app, user in itertools.product(APPS, USERS):
            self.check_user_state(app, user)
