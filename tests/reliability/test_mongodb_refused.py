"""An append or a create whose session goes while it is stored: it is refused only if nothing of it was stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import pytest
from google.adk.sessions import Session
from support.before import Before
from support.message_proxy import Fault, MessageProxy

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.errors import AlreadyExistsError, SessionNotFoundError, StaleSessionError
from adk_extra_sessions.testing.contract.samples import APP, an_event, texts

REFUSED = (AlreadyExistsError, SessionNotFoundError, StaleSessionError)

Meanwhile = Callable[[MongoSessionStore, Session], object]


@pytest.fixture(params=["mongod"])
def backend(request: pytest.FixtureRequest) -> str:
    """A real server: a fake loses no reply."""
    return str(request.param)


@pytest.fixture
def proxy(server: Any, storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[MessageProxy]:
    # The driver looks at once for a server it has lost.
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.005)
    with MessageProxy((server.port,), storage["db_name"].encode(), redis=False) as proxy:
        yield proxy


def names(session: Session) -> dict[str, str]:
    return {"app_name": session.app_name, "user_id": session.user_id, "session_id": session.id}


def delete(store: MongoSessionStore, session: Session) -> None:
    store.delete_session(**names(session))


def create_again(store: MongoSessionStore, session: Session) -> None:
    delete(store, session)
    store.create_session(**names(session))


def append(store: MongoSessionStore, session: Session) -> None:
    store.append_event(session, an_event(delta={"user:a": 1}))


def create(store: MongoSessionStore, session: Session) -> None:
    store.create_session(**{**names(session), "session_id": "new"}, state={"user:a": 1})


def create_new_again(store: MongoSessionStore, session: Session) -> None:
    create_again(store, session.model_copy(update={"id": "new"}))


@pytest.mark.parametrize(
    ("run", "meanwhile", "on_stale"),
    [
        (append, delete, "raise"),
        (append, delete, "append"),
        (append, create_again, "raise"),
        (create, create_new_again, "raise"),
    ],
)
def test_who_is_refused_has_changed_nothing(
    server: Any,
    storage: dict[str, Any],
    store: MongoSessionStore,
    proxy: MessageProxy,
    run: Meanwhile,
    meanwhile: Meanwhile,
    on_stale: Literal["raise", "append"],
) -> None:
    """The reply of each message is lost in turn, and then the session."""
    url = f"mongodb://127.0.0.1:{proxy.ports[server.port]}/?directConnection=true&serverMonitoringMode=poll"
    with MongoSessionStore(url, db_name=storage["db_name"], on_stale=on_stale) as far:
        far.ensure_indexes()
        outcomes = []
        for number in itertools.count(1):
            session = store.create_session(app_name=APP, user_id=str(number), session_id="s", state={"user:a": 0})
            proxy.expect(Fault("lost", answered=False, after=partial(meanwhile, store, session)), number)
            try:
                run(far, session)
                outcomes.append(1)
            except REFUSED:
                outcomes.append(0)
            proxy.heal()
            assert not proxy.errors
            assert store.get_user_state(app_name=APP, user_id=str(number)) == {"a": outcomes[-1]}, number
            if proxy.count < number:
                break
        # Of four or more; the last may want no answer, and arrive when the next is counted.
        assert len(outcomes) > 3 and set(outcomes) == {0, 1}


def erase_and_create_again(store: MongoSessionStore, session: Session) -> None:
    store.delete_user(app_name=session.app_name, user_id=session.user_id)
    store.create_session(**names(session), state={"user:a": 1})


def test_the_state_of_an_erased_user_is_not_taken_for_that_of_the_next(
    storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(app_name=APP, user_id="one", session_id="s")
    before = Before("update", "sessions", partial(erase_and_create_again, store, session))
    with MongoSessionStore(**storage, event_listeners=[before]) as far, pytest.raises(StaleSessionError):
        append(far, session)
    assert not before.left


def test_another_change_with_the_same_ticket_is_not_taken_for_ones_own(
    storage: dict[str, Any], store: MongoSessionStore
) -> None:
    """A batch reads its tickets after it took them; if somebody else takes one meanwhile, they have the same."""
    session, other = (store.create_session(app_name=APP, user_id="one") for _ in range(2))
    before = Before("find", "state", lambda: store.append_event(other, an_event(delta={"user:a": 2})))
    then = Before("update", "sessions", partial(delete, store, session))
    with MongoSessionStore(**storage, event_listeners=[before, then]) as far, pytest.raises(SessionNotFoundError):
        far.append_event(session, an_event(delta={"user:a": 1, "app:b": 1}))
    assert not before.left and not then.left
    assert other.state == {"user:a": 2} and store.get_user_state(app_name=APP, user_id="one") == {"a": 2}


def test_a_session_that_replaced_an_expired_one_is_not_taken_for_it(
    storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(app_name=APP, user_id="one", session_id="s")
    store.backend.sessions.update_one({}, {"$set": {"expires_at": store.backend.expiry.now()}})
    before = Before("delete", "sessions", lambda: store.create_session(**names(session), state={"who": "other"}))
    with MongoSessionStore(**storage, event_listeners=[before]) as far, pytest.raises(AlreadyExistsError):
        far.create_session(**names(session))
    assert not before.left
    found = store.get_session(**names(session))
    assert found is not None and found.state == {"who": "other"}


def test_the_same_change_with_the_same_ticket_by_a_quicker_writer_is_not_taken_for_ones_own(
    storage: dict[str, Any], store: MongoSessionStore
) -> None:
    session = store.create_session(app_name=APP, user_id="one", session_id="s")
    quicker = store.get_session(**names(session))
    assert quicker is not None
    event = an_event("quicker", delta={"user:a": 1})
    before = Before("find", "state", lambda: store.append_event(quicker, event))
    with MongoSessionStore(**storage, event_listeners=[before]) as far, pytest.raises(StaleSessionError):
        far.append_event(session, an_event("slower", delta={"user:a": 1, "app:b": 1}))
    assert not before.left
    found = store.get_session(**names(session))
    assert found is not None and texts(found) == ["quicker"]
