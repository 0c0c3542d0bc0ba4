"""Stores of different ttls on the same sessions: nothing goes before its session, nothing stays for ever after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.adk.sessions import Session
from support.held_writers import Writer, interleaved
from support.servers import MongoServer, wait_until

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.mongodb.expiry import NEVER
from adk_extra_sessions.errors import EventTooLargeError, SessionNotFoundError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

pytestmark = pytest.mark.servers

ONE: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}

LARGE = "x" * (limits.BODY_BYTES + 1)

SECONDS: dict[str | None, float] = {None: float("inf"), "10m": 600, "10h": 36_000}
"""By ttl. None of them passes during a test, however slow the machine is."""


@pytest.fixture
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a session of a few events has chunks."""
    monkeypatch.setattr(limits, "TAIL_EVENTS", 12)
    monkeypatch.setattr(limits, "KEPT_EVENTS", 4)


@pytest.fixture(scope="module")
def server() -> Iterator[MongoServer]:
    """A mongod whose TTL monitor sleeps: what is due is seen by its date."""
    with MongoServer("--setParameter", "ttlMonitorEnabled=false") as one:
        yield one


Writers = dict[tuple[str | None, int], Writer]


@pytest.fixture(scope="module")
def writers(server: MongoServer) -> Iterator[Writers]:
    made = {(ttl, number): Writer(server, ttl) for ttl in SECONDS for number in range(2)}
    yield made
    for one in made.values():
        one.store.close()


@pytest.fixture(scope="module")
def holders(server: MongoServer) -> Iterator[Writers]:
    """Writers whose append is refused when somebody else was quicker."""
    made = {(ttl, number): Writer(server, ttl, on_stale="raise") for ttl in SECONDS for number in range(2)}
    yield made
    for one in made.values():
        one.store.close()


def stored(store: MongoSessionStore) -> dict[str, list[Any]]:
    return {"sessions": list(store.backend.sessions.find()), "event_chunks": list(store.backend.chunks.find())}


def put_back(store: MongoSessionStore, kept: dict[str, list[Any]]) -> None:
    for name, found in kept.items():
        store.backend.database[name].delete_many({})
        store.backend.database[name].insert_many(found)


def a_session_with_chunks(store: MongoSessionStore) -> dict[str, list[Any]]:
    """Stores one whose next append moves events to a chunk; returns all there is then."""
    for name in ("sessions", "event_chunks"):
        store.backend.database[name].delete_many({})
    session = store.create_session(**ONE)
    store.append_event(session, an_event(LARGE))
    while (
        store.backend.sessions.find_one()["tail_count"] < limits.TAIL_EVENTS or not session.events[limits.TAIL_EVENTS :]
    ):
        store.append_event(session, an_event("x"))
    return stored(store)


def found_texts(store: MongoSessionStore) -> list[Any]:
    found = store.get_session(**ONE)
    assert found is not None
    return texts(found)


def check(store: MongoSessionStore, last: float, where: str, session_id: str = "one") -> None:
    """Checks what is promised of chunks, after a last writer with this many seconds of ttl."""
    (head,) = store.backend.sessions.find({"session_id": session_id})
    dates: list[datetime] = [chunk["expires_at"] for chunk in store.backend.chunks.find({"session_id": session_id})]
    assert len(dates) >= 2
    assert min(dates) >= head["chunks_expire_at"], where
    if last == float("inf"):
        assert head["expires_at"] == head["chunks_expire_at"] == NEVER == min(dates), where
        return
    ttl = timedelta(seconds=last)
    assert abs(head["expires_at"] - store.backend.expiry.now() - ttl) < timedelta(seconds=250)
    assert min(dates) >= head["expires_at"] + ttl * 0.49, where
    assert max(dates) <= head["expires_at"] + ttl * 2.01, where


CASES = [
    (None, "10h", None),
    (None, "10m", "10h"),
    ("10m", "10h", "10m"),
    ("10m", None, "10m"),
    ("10m", "10m", None),
    ("10h", None, "10m"),
    ("10h", "10m", "10h"),
]
"""The ttl of the session's maker, and those of two writers."""


@pytest.mark.parametrize(
    ("case", "large"),
    [*((case, "") for case in CASES), (CASES[0], LARGE), (CASES[3], LARGE)],
    ids=lambda value: "large" if value == LARGE else str(value or ""),
)
@pytest.mark.usefixtures("short_tails")
def test_two_writers_in_any_interleaving(writers: Writers, case: tuple[str | None, ...], large: str) -> None:
    maker, a, b = writers[case[0], 0].store, writers[case[1], 0], writers[case[2], 1]
    said = ("a", f"b{large}")
    kept = a_session_with_chunks(maker)
    count = len(found_texts(maker))

    def anew() -> list[Session | None]:
        put_back(maker, kept)
        return [None, None]

    for where in interleaved(a, b, said, anew):
        assert not isinstance(a.outcome, Exception) and not isinstance(b.outcome, Exception), where
        found = found_texts(maker)
        assert sorted(found[-2:]) == sorted(said) and len(found) == count + 2, where
        last = a if found[-1] == said[0] else b
        check(maker, SECONDS[last.ttl], where)


@pytest.mark.parametrize("case", CASES[::3], ids=str)
@pytest.mark.usefixtures("short_tails")
def test_of_two_holders_one_is_refused_in_any_interleaving(holders: Writers, case: tuple[str | None, ...]) -> None:
    maker, a, b = holders[case[0], 0].store, holders[case[1], 0], holders[case[2], 1]
    kept = a_session_with_chunks(maker)
    count = len(found_texts(maker))

    def anew() -> list[Session | None]:
        put_back(maker, kept)
        return [maker.get_session(**ONE), maker.get_session(**ONE)]

    for where in interleaved(a, b, ("a", "b"), anew):
        refused = [isinstance(one.outcome, StaleSessionError) for one in (a, b)]
        assert sorted(refused) == [False, True], (where, a.outcome, b.outcome)
        assert found_texts(maker)[count:] == [["a", "b"][refused.index(False)]], where
        check(maker, SECONDS[[a, b][refused.index(False)].ttl], where)


@pytest.mark.parametrize("before", ["10m", "10h"])
def test_an_append_that_the_server_refuses_leaves_expiry_as_it_was(writers: Writers, before: str) -> None:
    maker, other = writers[before, 0].store, writers[None, 0].store
    a_session_with_chunks(maker)
    session = maker.get_session(**ONE)
    assert session is not None
    maker.append_event(session, an_event(delta={"a": "x" * 9_000_000}))
    with pytest.raises(EventTooLargeError):
        other.append_event(session, an_event(delta={"b": "x" * 9_000_000}))
    check(maker, SECONDS[before], "refused")


@pytest.mark.usefixtures("short_tails")
def test_many_sessions_in_one_batch(writers: Writers) -> None:
    """Where tails are full, room is made for all at once; each session keeps its own expiry."""
    hour, never = writers["10h", 0].store, writers[None, 0].store
    for name in ("sessions", "event_chunks"):
        hour.backend.database[name].delete_many({})
    sessions = [hour.create_session(app_name=APP, user_id=USER, session_id=f"s{number}") for number in range(6)]
    for turn in range(3 * limits.TAIL_EVENTS):
        for batch, store in ((sessions[: turn % 7], never), (sessions[turn % 7 :], hour)):
            outcomes = store.append_many((session, an_event(str(turn))) for session in batch)
            assert not any(isinstance(one, Exception) for one in outcomes)
    hour.append_many((session, an_event("last")) for session in sessions)
    for session in sessions:
        found = hour.get_session(app_name=APP, user_id=USER, session_id=session.id)
        assert found is not None and texts(found) == texts(session)
        check(hour, SECONDS["10h"], session.id, session.id)


@pytest.fixture(scope="module")
def removing() -> Iterator[MongoServer]:
    """A mongod that removes each second what is due."""
    with MongoServer("--setParameter", "ttlMonitorSleepSecs=1") as one:
        yield one


class TooSlow(Exception):
    """The machine took so long that a session has expired before it was written to again."""


@pytest.mark.parametrize("last", [1, 0.5])
def test_stores_of_different_ttls_write_in_turn(removing: MongoServer, last: float) -> None:
    for short in (2, 8, 32):
        with suppress(TooSlow):
            write_in_turn(removing, short, short * last)
            return
    pytest.fail("even half a minute is too short")


def write_in_turn(server: MongoServer, short: float, last: float) -> None:
    """Stores write to a session in turn, the least of their ttls `short`, and then one of ttl `last`, in seconds."""
    name = f"turn-{short}-{last}".replace(".", "-")
    stores = {ttl: MongoSessionStore(server.url, db_name=name, ttl=ttl) for ttl in (short, None, 3600, last)}
    stores[short].ensure_indexes()
    said, expires = list[str](), time.monotonic() + short

    def write(ttl: float | None, *new: str) -> None:
        nonlocal expires
        found = stores[ttl].get_session(**ONE)
        if found is None and time.monotonic() > expires:
            raise TooSlow
        assert found is not None and texts(found) == said
        began = time.monotonic()
        outcomes = stores[ttl].append_many((found, an_event(text)) for text in new)
        if time.monotonic() > expires and any(isinstance(one, SessionNotFoundError) for one in outcomes):
            raise TooSlow
        assert not any(isinstance(one, Exception) for one in outcomes)
        said.extend(new)
        expires = began + (ttl or float("inf"))

    try:
        stores[short].create_session(**ONE)
        write(short, LARGE, *map(str, range(130)))
        assert stores[None].backend.chunks.count_documents({}) > 2
        began = time.monotonic()
        while time.monotonic() - began < 4 * short:
            for ttl in (short, None, 3600):
                write(ttl, f"{ttl} {len(said)}" if len(said) % 20 else f"{LARGE} {len(said)}")
                time.sleep(0.25)
        write(last, "last")
        time.sleep(last)
        assert all(store.get_session(**ONE) is None for store in stores.values())
        collections = stores[None].backend.sessions, stores[None].backend.chunks
        wait_until(lambda: not any(one.count_documents({}) for one in collections), "something stays")
    finally:
        stores[None].client.drop_database(name)
        for store in stores.values():
            store.close()


def test_a_ttl_that_is_given_up_lets_nothing_go(removing: MongoServer) -> None:
    """Sessions of a store with a ttl, written to once by one without: they stay, whole."""
    for ttl in (1, 4, 16):
        with suppress(TooSlow):
            give_up(removing, ttl)
            return
    pytest.fail("even a quarter of a minute is too short")


def give_up(server: MongoServer, ttl: float) -> None:
    with (
        MongoSessionStore(server.url, db_name="given-up", ttl=ttl) as expiring,
        MongoSessionStore(server.url, db_name="given-up") as staying,
    ):
        expiring.ensure_indexes()
        expiring.delete_session(**ONE)
        began = time.monotonic()
        session = expiring.create_session(**ONE)
        expiring.append_many((session, an_event(text)) for text in [LARGE, *map(str, range(130))])
        try:
            staying.append_event(session, an_event("stays"))
        except SessionNotFoundError:
            if time.monotonic() - began > ttl:
                raise TooSlow from None
            raise
        time.sleep(5 * ttl)
        found = expiring.get_session(**ONE)  # a reader's own ttl means nothing
        assert found is not None and texts(found) == texts(session)
        assert len(found.events) == 132
