"""Names and state keys from all of Unicode, on every backend; what is no text is refused before it is sent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adk_extra_sessions import SessionStore
from adk_extra_sessions.errors import InputValidationError, StateValueError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}

bounded = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

# Letters of every language, and what means something to a database or a shell.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0:/.$*?[]{}%#\\'\"\n\r~^|&"), max_size=12)
prefixes = st.sampled_from(["", "user:", "app:", "user:app:", "temp", "$", "_"])
state_keys = st.tuples(prefixes, texts).map("".join).filter(lambda key: not key.startswith("temp:"))


@bounded
@given(names=st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=3), keys=st.lists(state_keys, max_size=4))
@example(names=[("a", "b/c", "d"), ("a/b", "c", "d"), ("a", "b", "c/d")], keys=["a.b", "a", "a%2Eb", ""])
@example(names=[("a\0", "*", "?"), ("a", "\0*", "[^"), ("A", "*", "x" * 10_000)], keys=["$set", "\0", "user:\0."])
def test_any_text_is_a_name_of_its_own(store: SessionStore, names: Any, keys: list[str]) -> None:
    sessions: dict[Any, Session] = {}
    for number, (app, user, name) in enumerate(names):
        place = {"app_name": app, "user_id": user, "session_id": f".{name}."}
        if tuple(place.values()) in sessions:
            continue
        session = sessions[tuple(place.values())] = store.create_session(**place)
        store.append_event(session, an_event(delta={key: [number, key] for key in keys}))
        assert (session.app_name, session.user_id, session.id) == tuple(place.values())
    for (app, user, name), session in sessions.items():
        found = store.get_session(app_name=app, user_id=user, session_id=name)
        assert found is not None and found.events == session.events
        own = {key: value for key, value in session.state.items() if not key.startswith(("app:", "user:"))}
        assert own.items() <= found.state.items()
        assert set(found.state) == set(session.state)
        assert [(one.user_id, one.id) for one in store.iter_sessions(app_name=app, user_id=user)].count(
            (user, name)
        ) == 1
    for app, user, name in sessions:
        store.delete_session(app_name=app, user_id=user, session_id=name)
    for app, user, name in sessions:
        assert store.get_session(app_name=app, user_id=user, session_id=name) is None
        assert store.list_sessions(app_name=app).sessions == []


SURROGATES = ["\ud800", "a\udfff", "\udc00\ud800", "ok" * 5000 + "\ud83d"]
NO_TEXTS = [{"$ne": ""}, {"$gt": "", "$exists": True}, ["one"], 7, 0.5, True, None, b"one", object()]


def calls_with(store: SessionStore, name: str, wrong: Any) -> Iterator[Callable[[], Any]]:
    """Every method, with something wrong as one of the names. None may mean "any" or "make one"."""
    names: dict[str, Any] = {**NAMES, name: wrong}
    built = Session.model_construct(app_name=names["app_name"], user_id=names["user_id"], id=names["session_id"])
    yield lambda: store.get_session(**names)
    yield lambda: store.delete_session(**names)
    yield lambda: store.append_event(built, an_event())
    yield lambda: [raised(one) for one in store.append_many([(built, an_event())])]
    if name != "session_id":
        pair = {key: names[key] for key in ("app_name", "user_id")}
        yield lambda: store.create_session(**pair)
        yield lambda: store.get_user_state(**pair)
        if name == "app_name" or wrong is not None:
            yield lambda: store.list_sessions(**pair)
            yield lambda: list(store.iter_sessions(**pair))
    elif wrong is not None:
        yield lambda: store.create_session(**names)


def raised(result: Any) -> None:
    if isinstance(result, Exception):
        raise result


def test_what_is_no_text_is_refused_by_every_method(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    session = store.create_session(**NAMES, state={"user:a": 1})

    def sent(*arguments: Any) -> Any:
        raise AssertionError("sent to the database")

    with monkeypatch.context() as patch:
        for verb in ("create", "read", "list", "delete", "user_state", "append"):
            patch.setattr(store.backend, verb, sent)
        for name, wrong in itertools.product(NAMES, [*SURROGATES, *NO_TEXTS]):
            for call in calls_with(store, name, wrong):
                with pytest.raises(InputValidationError):
                    call()
    assert store.get_session(**NAMES) == session


def test_state_keys_that_are_no_text_are_refused(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    keys: list[Any] = [*SURROGATES, *(f"app:{text}" for text in SURROGATES), *NO_TEXTS[3:]]
    for wrong in keys:
        with pytest.raises(StateValueError):
            store.create_session(app_name=APP, user_id=USER, state={"user:a": 1, wrong: 1})
        event = an_event(delta={"a": 1, "user:a": 1})
        event.actions.state_delta[wrong] = 1
        with pytest.raises(StateValueError):
            store.append_event(session, event)
    assert store.get_session(**NAMES) == session
    assert store.get_user_state(app_name=APP, user_id=USER) == {}
    assert len(store.list_sessions(app_name=APP).sessions) == 1


def test_filters_that_are_no_numbers_are_refused(store: SessionStore) -> None:
    store.create_session(**NAMES)
    wrong: list[Any] = [{"$gt": ""}, "1", [1]]
    for field, value in itertools.product(("num_recent_events", "after_timestamp"), wrong):
        config = GetSessionConfig.model_construct(**{field: value})
        with pytest.raises(InputValidationError):
            store.get_session(**NAMES, config=config)
