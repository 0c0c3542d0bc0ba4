"""The option `cache`: sessions are as without it, and only what is new is read and decoded."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from support import snapshots
from support.managed_memory_backend import ManagedMemoryBackend

from adk_extra_sessions import (
    MongoSessionStore,
    RedisSessionStore,
    SessionStore,
)
from adk_extra_sessions.adk.private import storage_marker
from adk_extra_sessions.backends.redis.layout import Field, SessionKeys
from adk_extra_sessions.history.event_cache import AT_ONCE, OVERLAP
from adk_extra_sessions.history.outline import Part
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids, texts

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

KEY = SessionKey.of(APP, USER, "one")

MakeStore = Callable[..., SessionStore]


def load(store: SessionStore, **names: str) -> Session:
    session = store.get_session(**{**NAMES, **names})
    assert session is not None
    return session


def append(store: SessionStore, session: Session, *events: Event) -> None:
    for outcome in store.append_many((session, event) for event in events):
        assert isinstance(outcome, Event), outcome


def some_events(*numbers: int, word: str = "") -> list[Event]:
    return [an_event(f"{word}{number}", at=float(number), id=f"{word}{number}") for number in numbers]


def assert_same(found: Session | None, expected: Session | None) -> None:
    assert found == expected
    assert found is None or storage_marker(found) == storage_marker(expected)  # type: ignore[arg-type]


class Reads:
    """What a store reads of histories: the bodies of events, at each read."""

    def __init__(self, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies: list[list[bytes | str]] = []
        read_part = store.backend.read_part  # type: ignore[attr-defined]

        def noted(*arguments: Any) -> Part | None:
            part = read_part(*arguments)
            self.bodies.append([body for run in part.runs for body in run.bodies] if part else [])
            return part

        monkeypatch.setattr(store.backend, "read_part", noted)

    def counts(self) -> list[int]:
        """Returns how many events each read since the last time has read."""
        bodies, self.bodies = self.bodies, []
        return [len(one) for one in bodies]


class Caching:
    """What is loaded. Supply the fixture `make`, which makes stores on the same storage."""

    def test_a_session_loaded_again_has_the_same_events_in_another_list(self, make: MakeStore) -> None:
        store, plain = make(cache="1MB"), make()
        append(plain, plain.create_session(**NAMES, state={"a": [1]}), *some_events(*range(100)))
        first, second = load(store), load(store)
        assert all(one is another for one, another in zip(first.events, second.events, strict=True))
        assert first.events is not second.events and first.state["a"] is not second.state["a"]
        append(store, first, *some_events(100))
        first.events.pop(0)
        third = load(store)
        assert texts(third) == [str(number) for number in range(101)] and len(second.events) == 100
        assert third.events[5] is second.events[5] and third.events[100] is not first.events[-1]
        assert_same(third, load(plain))

    @pytest.mark.parametrize("added", [0, 1, AT_ONCE - OVERLAP, AT_ONCE, 70])
    def test_only_what_is_new_is_read(self, make: MakeStore, monkeypatch: pytest.MonkeyPatch, added: int) -> None:
        store, plain = make(cache="1MB"), make()
        append(plain, plain.create_session(**NAMES), *some_events(*range(300)))
        before = load(store)
        append(plain, load(plain), *some_events(*range(300, 300 + added)))
        reads = Reads(store, monkeypatch)
        assert_same(load(store), load(plain))
        assert reads.counts() == ([AT_ONCE] if added <= AT_ONCE - OVERLAP else [AT_ONCE, added + OVERLAP])
        assert load(store).events[:300] == before.events and load(store).events[0] is before.events[0]

    def test_a_config_reads_from_storage(self, make: MakeStore) -> None:
        store = make(cache="1MB")
        append(store, store.create_session(**NAMES), *some_events(*range(30)))
        kept = load(store)
        for config in (GetSessionConfig(), GetSessionConfig(num_recent_events=30), GetSessionConfig(after_timestamp=0)):
            session = store.get_session(**NAMES, config=config)
            assert session == kept
            assert not {id(event) for event in session.events} & {id(event) for event in kept.events}

    def test_a_session_created_again_is_another_one(self, make: MakeStore) -> None:
        """Also with the same newest events."""
        store, plain = make(cache="1MB"), make()
        append(plain, plain.create_session(**NAMES), *some_events(*range(40)))
        load(store)
        for events in ([], some_events(*range(40, 80)), some_events(100, *range(1, 40))):
            plain.delete_session(**NAMES)
            assert store.get_session(**NAMES) is None
            append(plain, plain.create_session(**NAMES), *some_events(*range(40)))
            load(store)
            plain.delete_session(**NAMES)
            append(plain, plain.create_session(**NAMES), *events)
            assert_same(load(store), load(plain))

    def test_what_is_deleted_is_not_kept(self, make: MakeStore) -> None:
        """Not even if the server gets the same events again, as from a backup."""
        store, plain = make(cache="1MB"), make()
        append(store, store.create_session(**NAMES), *some_events(*range(30)))
        backup = snapshots.take(store)
        for delete in (
            lambda: store.delete_session(**NAMES),
            lambda: store.delete_user(app_name=APP, user_id=USER),
            lambda: store.delete_app(app_name=APP),
            lambda: (plain.delete_session(**NAMES), store.get_session(**NAMES)),
        ):
            kept = load(store).events
            assert load(store).events[0] is kept[0]
            delete()
            snapshots.put_back(store, backup)
            assert load(store).events[0] is not kept[0]

    def test_what_has_expired_is_missing_and_what_comes_after_it_is_another_session(self, make: MakeStore) -> None:
        store, plain = make(cache="1MB"), make()
        append(plain, plain.create_session(**NAMES), *some_events(*range(30)))
        assert len(load(store).events) == 30
        plain.update_session(**NAMES, ttl=0.2)
        while plain.get_session(**NAMES) is not None:
            time.sleep(0.05)
        assert store.get_session(**NAMES) is None
        append(plain, plain.create_session(**NAMES), *some_events(99, *range(1, 30)))
        assert_same(load(store), load(plain))

    @pytest.mark.parametrize("lost", [1, OVERLAP, 40])
    @pytest.mark.parametrize("added", [0, 1, 40, 90])
    def test_events_that_a_failover_lost_are_gone(self, make: MakeStore, lost: int, added: int) -> None:
        """Others in their places have the same revisions."""
        store, plain = make(cache="1MB"), make()
        append(plain, plain.create_session(**NAMES), *some_events(*range(60)))
        backup = snapshots.take(plain)
        append(plain, load(plain), *some_events(*range(60, 60 + lost)))
        load(store)
        snapshots.put_back(plain, backup)
        append(plain, load(plain), *some_events(*range(60, 60 + added), word="other"))
        assert_same(load(store), load(plain))
        assert_same(load(store), load(plain))

    def test_a_lost_event_is_noticed_below_the_same_newer_ones(self, make: MakeStore) -> None:
        """As after a failover in which one writer's request got lost, and another's is sent again."""
        store, plain = make(cache="1MB"), make(on_stale="append")
        append(plain, plain.create_session(**NAMES), *some_events(*range(60)))
        backup = snapshots.take(plain)
        others = some_events(*range(100, 107))
        append(plain, load(plain), *some_events(60), *others)
        load(store)
        snapshots.put_back(plain, backup)
        append(plain, load(plain), *some_events(61), *others)
        for _ in range(20):
            append(plain, load(plain), an_event())
            assert_same(load(store), load(plain))

    @pytest.mark.parametrize("seed", range(4))
    def test_several_caches_are_right_at_any_time(self, make: MakeStore, seed: int) -> None:
        """Whoever appends, deletes or loses events, and whatever is evicted meanwhile."""
        chance = random.Random(seed)
        plain = make(on_stale="append")
        caching = [make(cache="1MB"), make(cache="1MB", on_stale="append"), make(cache="4KB", on_stale="append")]
        backup = snapshots.take(plain)
        held: dict[str, list[Session]] = {"one": [], "two": []}
        made: list[Event] = []
        for _ in range(60):
            name = chance.choice([*held, "one"])
            names = {**NAMES, "session_id": name}
            store = chance.choice([plain, *caching])
            action = chance.choice(["append"] * 8 + ["delete", "backup", "lose", "lose"])
            if plain.get_session(**names) is None:
                held[name] = [store.create_session(**names)]
            elif action == "append":
                new = [an_event(str(len(made) + nth), delta={"n": nth}) for nth in range(chance.choice([1, 2, 4, 30]))]
                again = chance.sample(made, min(len(made), chance.choice([0, 0, 3, 12])))
                made += new
                store.append_many((chance.choice(held[name]), event) for event in [*new, *again])
            elif action == "delete":
                store.delete_session(**names)
            elif action == "backup":
                backup = snapshots.take(plain)
            else:
                snapshots.put_back(plain, backup)
            for one in caching:
                if chance.random() < 0.6:
                    found = one.get_session(**names)
                    assert_same(found, plain.get_session(**names))
                    held[name] = [*held[name], *([found] if found else [])][-3:]

    def test_it_keeps_no_more_than_it_may(self, make: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the sessions loaded last, as many as it has room for."""
        store = make(cache="20KB")
        names = [str(number) for number in range(30)]
        sizes: dict[str, int] = {}
        reads = Reads(store, monkeypatch)
        for name in names:
            session = store.create_session(**{**NAMES, "session_id": name})
            append(store, session, *some_events(*range(AT_ONCE + 1 + int(name))))
            load(store, session_id=name)
            sizes[name] = sum(map(len, reads.bodies.pop()))
        kept = []
        for name in reversed(names):
            load(store, session_id=name)
            if reads.counts() != [AT_ONCE]:
                break
            kept.append(name)
        assert 10_000 < sum(sizes[name] for name in kept) <= 20_000

    def test_a_session_larger_than_the_cache_is_read_as_a_whole(
        self, make: MakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = make(cache="4KB")
        session = store.create_session(**NAMES)
        reads = Reads(store, monkeypatch)
        for number in range(60):
            append(store, session, *some_events(number))
            assert len(load(store).events) == number + 1
        load(store)
        assert reads.counts()[-2:] == [60, 60]

    def test_threads_may_load_and_append_at_once(self, make: MakeStore) -> None:
        store, plain = make(cache="30KB", on_stale="append"), make()
        sessions = ["one", "two", "three"]
        for name in sessions:
            append(plain, plain.create_session(**{**NAMES, "session_id": name}), *some_events(*range(20)))

        def work(number: int) -> None:
            chance = random.Random(number)
            for nth in range(25):
                name = chance.choice(sessions)
                session = load(store, session_id=name)
                assert texts(session)[:20] == [str(one) for one in range(20)]
                assert len(set(ids(session))) == len(session.events)
                append(store, session, an_event(f"{number} {nth}"))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        for name in sessions:
            assert_same(load(store, session_id=name), load(plain, session_id=name))
        assert sum(len(load(plain, session_id=name).events) for name in sessions) == 3 * 20 + 4 * 25


class TestOnDatabases(Caching):
    @pytest.fixture
    def make(self, make_store: MakeStore) -> MakeStore:
        return make_store


class TestOnDictionary(Caching):
    @pytest.fixture
    def make(self) -> MakeStore:
        backend = ManagedMemoryBackend()
        return lambda **options: SessionStore(backend, StoreOptions(**options))


@pytest.mark.parametrize("pruned", [5, 40])
def test_a_history_whose_beginning_was_removed_is_read_again(make_store: MakeStore, pruned: int) -> None:
    """Nothing removes it yet; positions are absolute so that something may."""
    store, plain = make_store(cache="1MB"), make_store()
    append(plain, plain.create_session(**NAMES), *some_events(*range(80)))
    load(store)
    if isinstance(plain, MongoSessionStore):
        plain.backend.sessions.update_one({}, {"$set": {"first_position": pruned}})
    elif isinstance(plain, RedisSessionStore):
        keys = SessionKeys.of(plain.prefix, KEY)
        plain.client.ltrim(keys.events, 2 * pruned, -1)
        plain.client.hset(keys.session, mapping={Field.first_position: pruned, Field.event_count: 80 - pruned})
    assert texts(load(store)) == texts(load(plain)) == [str(number) for number in range(pruned, 80)]
