"""Appends to many sessions at once: whatever stands in the way of some, the others do not pay for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.adk.sessions import Session
from support.sent_commands import SentCommands

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.mongodb.chunk_writer import ChunkWriter
from adk_extra_sessions.errors import SessionNotFoundError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

SESSIONS = 24


@pytest.fixture
def listener() -> SentCommands:
    return SentCommands()


@pytest.fixture
def sent(listener: SentCommands) -> list[str]:
    """What the store of this test has sent, where there is a server."""
    return listener.names


@pytest.fixture
def watched(store: MongoSessionStore, server: Any, listener: SentCommands) -> Iterator[MongoSessionStore]:
    """A store whose messages can be counted."""
    with MongoSessionStore(server.url, db_name=store.db_name, event_listeners=[listener]) as made:
        yield made


def of_all_lengths(store: MongoSessionStore) -> list[Session]:
    """Sessions whose tails are full at different moments."""
    sessions = [store.create_session(app_name=APP, user_id=USER, session_id=f"s{n:02}") for n in range(SESSIONS)]
    for number, session in enumerate(sessions):
        length = number * 7 % limits.TAIL_EVENTS
        store.append_many((session, an_event(f"{number}.{one}")) for one in range(length))
    return sessions


def to_each(sessions: Sequence[Session], name: str, **event: Any) -> list[tuple[Session, Any]]:
    return [(session, an_event(f"{session.id} {name}", **event)) for session in sessions]


def stored(store: MongoSessionStore, session: Session) -> list[str | None]:
    found = store.get_session(app_name=APP, user_id=USER, session_id=session.id)
    assert found is not None
    return texts(found)


def test_full_tails_of_some_cost_few_messages(watched: MongoSessionStore, sent: list[str]) -> None:
    sessions = of_all_lengths(watched)
    for turn in range(limits.TAIL_EVENTS + 1):
        sent.clear()
        outcomes = watched.append_many(to_each(sessions, str(turn)))
        assert not any(isinstance(one, BaseException) for one in outcomes)
        assert len(sent) in (1, 5), sent
    assert sum(one["tail_first"] > 0 for one in watched.backend.sessions.find()) == SESSIONS
    for session in sessions:
        assert stored(watched, session) == texts(session)


def test_full_tails_and_shared_state(watched: MongoSessionStore, sent: list[str]) -> None:
    sessions = of_all_lengths(watched)
    for turn in range(limits.TAIL_EVENTS + 1):
        sent.clear()
        watched.append_many(to_each(sessions, str(turn), delta={"app:turn": turn, "own": turn}))
        assert len(sent) in (4, 8), sent
    for session in sessions:
        assert stored(watched, session) == texts(session)
        assert session.state["app:turn"] == turn
    assert all(one["pending"] == [] for one in watched.backend.sessions.find())


def test_the_superseded_and_the_gone_are_nobody_elses_delay(watched: MongoSessionStore, sent: list[str]) -> None:
    sessions = of_all_lengths(watched)
    again = watched.get_session(app_name=APP, user_id=USER, session_id="s03")
    assert again is not None
    watched.append_event(again, an_event("elsewhere"))
    watched.delete_session(app_name=APP, user_id=USER, session_id="s05")
    sent.clear()
    outcomes = watched.append_many(to_each(sessions, "last"))
    refused = {
        session.id: type(one) for session, one in zip(sessions, outcomes, strict=True) if isinstance(one, Exception)
    }
    assert refused == {"s03": StaleSessionError, "s05": SessionNotFoundError}
    assert len(sent) <= 10, sent
    for session in sessions:
        if session.id not in refused:
            assert stored(watched, session)[-1] == f"{session.id} last"


def test_what_was_stored_and_what_was_not_is_told_apart(store: MongoSessionStore) -> None:
    sessions = of_all_lengths(store)
    repeated = to_each(sessions, "twice")
    lost = [store.get_session(app_name=APP, user_id=USER, session_id=session.id) for session in sessions[::2]]
    store.append_many(repeated[::2])
    # The same events once more, for half of the sessions through live sessions that know nothing of the first time.
    halves = zip(lost, [event for _, event in repeated[::2]], strict=True)
    outcomes = store.append_many([*halves, *repeated[1::2]])  # type: ignore[list-item]
    assert not any(isinstance(one, BaseException) for one in outcomes)
    for session in sessions:
        assert stored(store, session).count(f"{session.id} twice") == 1


def test_a_session_deleted_as_its_events_move_leaves_nothing_behind(
    store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [store.create_session(app_name=APP, user_id=USER, session_id=name) for name in ("gone", "stays")]
    for session in sessions:
        store.append_many((session, an_event(str(number))) for number in range(limits.TAIL_EVENTS))
    write = ChunkWriter.write

    def then_deleted(self: ChunkWriter, *arguments: Any) -> Any:
        written = write(self, *arguments)
        monkeypatch.undo()
        late = store.backend.chunks.find_one({"session_id": "gone"})
        store.delete_session(app_name=APP, user_id=USER, session_id="gone")
        store.backend.chunks.insert_one(late)
        return written

    monkeypatch.setattr(ChunkWriter, "write", then_deleted)
    outcomes = store.append_many(to_each(sessions, "last"))
    assert isinstance(outcomes[0], SessionNotFoundError)
    assert stored(store, sessions[1])[-1] == "stays last"
    assert [one["session_id"] for one in store.backend.chunks.find()] == ["stays"]
