"""Nothing of an erased user or app is left on the server, however it was used, and whatever raced with it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from google.adk.sessions import Session
from support.dumps import holding

from adk_extra_sessions import (
    InputValidationError,
    MongoSessionStore,
    SessionNotFoundError,
    SessionStore,
    StaleSessionError,
)
from adk_extra_sessions.backends.mongodb.shared_state import SharedStates
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import an_event

Use = Callable[[SessionStore, dict[str, str], str], None]
"""Uses a store in the name of a user, with a word in all that is stored."""


@pytest.fixture
def word() -> str:
    """A word of letters, which no key and no value escapes; this test's own on a server that others use too."""
    return "w" + "".join(chr(ord("g") + int(digit, 16)) for digit in uuid.uuid4().hex[:16])


def created(store: SessionStore, user: dict[str, str], word: str, **more: Any) -> Session:
    return store.create_session(**user, state={word: word, f"user:{word}": [word], "app:shared": 1}, **more)


def talk(store: SessionStore, user: dict[str, str], word: str) -> None:
    session = created(store, user, word, session_id=word, display_name=word, labels={word: word})
    store.append_event(session, an_event(word, delta={word: 1, f"user:{word}": word, "app:shared": 2}))


def talk_at_length(store: SessionStore, user: dict[str, str], word: str) -> None:
    session = created(store, user, word)
    store.append_many((session, an_event(f"{word} {number}", delta={word: number})) for number in range(400))
    store.append_many((session, an_event(word * 30_000)) for _ in range(6))
    store.append_event(session, an_event(word))


def delete_a_session(store: SessionStore, user: dict[str, str], word: str) -> None:
    session = created(store, user, word, session_id=word)
    store.append_event(session, an_event(word, delta={f"user:{word}": 1}))
    store.delete_session(**user, session_id=word)
    with contextlib.suppress(SessionNotFoundError):
        store.append_event(session, an_event(word, delta={f"user:{word}": 2}))


def let_sessions_expire(store: SessionStore, user: dict[str, str], word: str) -> None:
    session = created(store, user, word, session_id=word, ttl=0.3)
    store.append_many((session, an_event(word * 200)) for _ in range(200))
    with contextlib.suppress(InputValidationError):  # on a slow machine it is past already
        created(store, user, word, session_id=f"{word}-other", expire_time=time.time() + 0.3)
    time.sleep(0.4)


def change_details(store: SessionStore, user: dict[str, str], word: str) -> None:
    created(store, user, word, session_id="s")
    for lifetime in ({"ttl": "1h"}, {"ttl": None}, {"expire_time": time.time() + 3600}):
        store.update_session(**user, session_id="s", display_name=word, labels={word: word}, **lifetime)  # type: ignore[arg-type]


def take_turns(store: SessionStore, user: dict[str, str], word: str) -> None:
    with store.turn(**user, session_id=word):
        created(store, user, word, session_id=word)
    key = SessionKey(**user, session_id=f"{word}-abandoned")
    assert store.turns.swap(key, None, word)


def write_too_late(store: SessionStore, user: dict[str, str], word: str) -> None:
    created(store, user, word, session_id="s")
    first, second = (store.get_session(**user, session_id="s") for _ in range(2))
    assert first is not None and second is not None
    store.append_event(first, an_event(word, delta={f"user:{word}": 1}))
    with pytest.raises(StaleSessionError):
        store.append_event(second, an_event(word, delta={f"user:{word}": 2}))


def create_again(store: SessionStore, user: dict[str, str], word: str) -> None:
    for _ in range(3):
        session = created(store, user, word, session_id="s")
        store.append_many((session, an_event(word)) for _ in range(130))
        store.delete_session(**user, session_id="s")
        store.get_or_create_session(**user, session_id="s", state={word: word})
        store.delete_session(**user, session_id="s")


def prune(store: SessionStore, user: dict[str, str], word: str) -> None:
    for _ in range(4):
        talk(store, user, word)
        store.prune_sessions(**user, keep_last=0)
    created(store, user, word)


def die_before_state_is_applied(store: SessionStore, user: dict[str, str], word: str) -> None:
    session = created(store, user, word)
    died = ConnectionError("died")
    with (
        patch.object(SharedStates, "apply", side_effect=died),
        patch.object(SplitAppState, "after_append", side_effect=died),
        contextlib.suppress(ConnectionError),
    ):
        store.append_event(session, an_event(word, delta={word: 1, f"user:{word}": word, "app:shared": 3}))


USES = [
    talk,
    die_before_state_is_applied,
    talk_at_length,
    delete_a_session,
    let_sessions_expire,
    change_details,
    take_turns,
    write_too_late,
    create_again,
    prune,
]


def neighbour(store: SessionStore, app_name: str) -> Session:
    session = store.create_session(app_name=app_name, user_id="neighbour", state={"user:a": 1, "app:b": 1})
    store.append_event(session, an_event("kept"))
    return session


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_nothing_of_an_erased_user_is_left(store: SessionStore, word: str, use: Use) -> None:
    app_name = uuid.uuid4().hex
    kept = neighbour(store, app_name)
    use(store, {"app_name": app_name, "user_id": word}, word)
    assert holding(store, word)
    store.delete_user(app_name=app_name, user_id=word)
    assert holding(store, word) == []
    store.append_event(kept, an_event("life goes on"))
    assert [one.user_id for one in store.iter_sessions(app_name=app_name)] == ["neighbour"]
    store.delete_app(app_name=app_name)
    assert holding(store, app_name) == []


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_nothing_of_an_erased_app_is_left(store: SessionStore, word: str, use: Use) -> None:
    for user_id in (word, "other"):
        use(store, {"app_name": word, "user_id": user_id}, word)
    kept = neighbour(store, "another")
    store.delete_app(app_name=word)
    assert holding(store, word) == []
    store.append_event(kept, an_event("life goes on"))
    store.delete_app(app_name="another")


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns fifty times as often as by default, so that races come about."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 50)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("erased", ["user", "app"])
def test_appends_that_race_with_it_leave_nothing(store: SessionStore, word: str, erased: str) -> None:
    user = {"app_name": uuid.uuid4().hex if erased == "user" else word, "user_id": word}
    if erased == "user":
        neighbour(store, user["app_name"])
    refused: list[Exception] = []
    stop = threading.Event()

    def write(session: Session, started: threading.Event) -> None:
        for number in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
            try:
                store.append_event(
                    session, an_event(f"{word} {number}", delta={word: number, f"user:{word}": number, "app:n": number})
                )
            except Exception as error:
                refused.append(error)
                return
            started.set()

    for _ in range(20):
        refused.clear()
        started = [threading.Event() for _ in range(3)]
        sessions = [created(store, user, word, session_id=f"{word}{number}") for number in range(3)]
        writers = [threading.Thread(target=write, args=pair) for pair in zip(sessions, started, strict=True)]
        for writer in writers:
            writer.start()
        for one in started:
            one.wait(60)
        if erased == "user":
            store.delete_user(**user)
        else:
            store.delete_app(app_name=word)
        for writer in writers:
            writer.join(60)
        stop.set()
        for writer in writers:
            writer.join()
        stop.clear()
        assert [type(error) for error in refused] == [SessionNotFoundError] * 3, refused
        assert holding(store, word) == []
    assert store.delete_user(**user).records == 0


@pytest.mark.not_on("fakeredis", "redis")  # where state changes together with the session
@pytest.mark.parametrize("erased", ["user", "app"])
def test_a_change_of_state_on_its_way_is_not_applied_afterwards(
    store: SessionStore, make_store: Callable[..., SessionStore], word: str, erased: str
) -> None:
    user = {"app_name": uuid.uuid4().hex if erased == "user" else word, "user_id": word}
    session, other = created(store, user, word), make_store()

    def erased_before(method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            other.delete_user(**user) if erased == "user" else other.delete_app(app_name=word)
            return method(*arguments, **named)

        return call

    with (
        patch.object(SharedStates, "apply", erased_before(SharedStates.apply)),
        patch.object(SplitAppState, "after_append", erased_before(SplitAppState.after_append)),
    ):
        store.append_event(session, an_event(word, delta={f"user:{word}": 2, "app:shared": 2}))
    assert holding(store, word) == []


def test_an_erasure_that_broke_off_is_run_again(
    store: SessionStore, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"app_name": uuid.uuid4().hex, "user_id": word}
    created(store, user, word)
    talk_at_length(store, user, word)
    take_turns(store, user, word)

    def lost(*_: Any, **__: Any) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as broken:  # after the sessions
        if isinstance(store, MongoSessionStore):
            broken.setattr(store.backend.states, "delete_many", lost)  # type: ignore[attr-defined]
        else:
            broken.setattr(store.client, "scan_iter", lost)  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            store.delete_user(**user)
    assert holding(store, word)
    assert store.delete_user(**user).records > 0
    assert holding(store, word) == []


@pytest.mark.parametrize("erased", ["user", "app"])
def test_what_is_created_meanwhile_is_gone_or_listed(store: SessionStore, erased: str) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        for _ in range(15):
            user = {"app_name": uuid.uuid4().hex, "user_id": f"ada-{uuid.uuid4().hex}"}
            store.create_session(**user)
            created_ids: list[str] = []
            creating = threading.Thread(target=create_some, args=(store, user, created_ids))
            creating.start()
            store.delete_user(**user) if erased == "user" else store.delete_app(app_name=user["app_name"])
            creating.join()
            there = [one for one in created_ids if store.get_session(**user, session_id=one) is not None]
            assert sorted(one.id for one in store.iter_sessions(**user)) == sorted(there)
            assert sorted(one.id for one in store.iter_sessions(app_name=user["app_name"])) == sorted(there)
            assert there or holding(store, user["user_id"]) == []
            kept = store.get_user_state(**user)
            # On MongoDB, the state may be erased, but not the session.
            assert kept == ({"a": 1} if there else {}) or (there and isinstance(store, MongoSessionStore))
            store.delete_app(app_name=user["app_name"])
            assert holding(store, user["app_name"]) == []
    finally:
        sys.setswitchinterval(before)


def create_some(store: SessionStore, user: dict[str, str], ids: list[str]) -> None:
    for _ in range(8):
        session = store.create_session(**user, state={"user:a": 1})
        ids.append(session.id)
        with contextlib.suppress(SessionNotFoundError):
            store.append_event(session, an_event())
