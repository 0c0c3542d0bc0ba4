"""What a store can be told, and what it says to what it cannot be told."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.sessions import Session

from adk_extra_sessions import (
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
    SessionStore,
)
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids

NAMES = {"app_name": APP, "user_id": USER}

WRONG: dict[str, Callable[[], Any]] = {
    "no-url": lambda: RedisSessionStore(),
    "no-url-mongo": lambda: MongoSessionStore(),
    "url-and-client": lambda: RedisSessionStore("redis://h", client=object()),
    "uri-and-url": lambda: RedisSessionService("redis://h:secret@h", uri="redis://h"),
    "scheme": lambda: RedisSessionStore("http://user:secret@host"),
    "scheme-mongo": lambda: MongoSessionStore("redis://user:secret@host", db_name="x"),
    "no-scheme": lambda: RedisSessionStore("localhost:6379"),
    "no-text": lambda: RedisSessionStore(7),  # type: ignore[arg-type]
    "option": lambda: RedisSessionStore("redis://user:secret@host", tll=5),
    "option-mongo": lambda: MongoSessionStore("mongodb://user:secret@host/db", tll=5),
    "query-option": lambda: RedisSessionStore("redis://user:secret@host?tll=5"),
    "query-option-mongo": lambda: MongoSessionStore("mongodb://user:secret@host/db?tll=5"),
    "option-fake": lambda: RedisSessionStore("fakeredis://", tll=5),
    "option-fake-mongo": lambda: MongoSessionStore("mongomock://secret/db", tll=5),
    "query-option-fake": lambda: RedisSessionStore("fakeredis://?tll=5"),
    "query-option-fake-mongo": lambda: MongoSessionStore("mongomock:///db?tll=5"),
    "option-twice": lambda: RedisSessionStore("redis://user:secret@host?ttl=5", ttl=5),
    "option-twice-in-url": lambda: RedisSessionStore("redis://user:secret@host?ttl=5&ttl=6"),
    "ttl": lambda: RedisSessionStore("redis://user:secret@host?ttl=soon"),
    "negative-ttl": lambda: RedisSessionStore("redis://user:secret@host", ttl=-1),
    "on-stale": lambda: MongoSessionStore("mongodb://user:secret@host/db?on_stale=ignore"),
    "unserializable": lambda: RedisSessionStore("redis://user:secret@host", unserializable="drop"),  # type: ignore[arg-type]
    "flag": lambda: RedisSessionStore("redis://user:secret@host?refresh_on_read=perhaps"),
    "no-database": lambda: MongoSessionStore("mongodb://user:secret@host"),
    "unacknowledged": lambda: MongoSessionStore("mongodb://user:secret@host/db?w=0", connect=False),
    "port": lambda: RedisSessionStore("redis://user:secret@host:port"),
    "password-with-slash": lambda: MongoSessionStore("mongodb://user:se/secret@host:1/db"),
    "store-and-options": lambda: RedisSessionService(store=RedisSessionStore("fakeredis://"), prefix="x"),
    "store-and-db": lambda: MongoSessionService(store=MongoSessionStore("mongomock://", db_name="x"), db_name="y"),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_wrong_options_are_refused_without_telling_the_password(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert "secret" not in str(refused.value)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="tll"):
        RedisSessionStore("redis://host", tll=5)
    with pytest.raises(ConfigurationError, match="tll"):
        MongoSessionStore("mongodb://host/db", tll=5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RedisSessionStore("redis://user:secret@host:1/0?ttl=1h"),
        lambda: RedisSessionStore("redis://host:1/0?username=user&password=secret"),
        lambda: RedisSessionService("redis://user:secret@host:1"),
        lambda: MongoSessionStore("mongodb://user:secret@host:1/db?connect=false"),
        lambda: MongoSessionService("mongodb://user:secret@host:1", db_name="db", connect=False),
    ],
    ids=["redis-store", "redis-query", "redis-service", "mongo-store", "mongo-service"],
)
def test_a_repr_shows_no_password(make: Callable[[], Any]) -> None:
    made = make()
    assert "secret" not in repr(made)
    assert "host:1" in repr(made)


def test_options_may_ride_in_the_url() -> None:
    store = RedisSessionStore("fakeredis://x?ttl=2m&prefix=mine&refresh_on_read=true&on_stale=append")
    assert (store.options.ttl_ms, store.prefix, store.refresh_on_read) == (120_000, "mine", True)
    assert store.options.on_stale == "append"
    mongo = MongoSessionStore("mongomock://x/base?ttl=1d&collection_prefix=adk_&unserializable=coerce")
    assert (mongo.options.ttl_ms, mongo.collection_prefix, mongo.db_name) == (86_400_000, "adk_", "base")
    assert mongo.options.unserializable == "coerce"


def test_a_store_can_be_pickled_unless_its_client_was_given(store: SessionStore, backend: str) -> None:
    if backend == "rediscluster":
        with pytest.raises(TypeError, match="client"):
            pickle.dumps(store)
        return
    session = store.create_session(**NAMES, state={"key": 1})
    for twin in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store)):
        found = twin.get_session(**NAMES, session_id=session.id)
        assert found is not None and found.state == {"key": 1}
        twin.close()
    options = {"db_name": store.db_name} if isinstance(store, MongoSessionStore) else {}
    given = type(store)(client=store.client, **options)  # type: ignore[call-arg,attr-defined]
    with pytest.raises(TypeError, match="client"):
        pickle.dumps(given)


def test_an_outdated_session_may_append_when_told_so(make_store: Callable[..., SessionStore]) -> None:
    store = make_store(on_stale="append")
    first = store.create_session(**NAMES)
    second = _found(store, first)
    by_hand = Session(app_name=APP, user_id=USER, id=first.id)
    events = [an_event(str(number), delta={str(number): number}) for number in range(120)]
    for number, event in enumerate(events):
        store.append_event((first, second, by_hand)[number % 3], event)
        store.append_event((first, second, by_hand)[number % 3], event)
    found = _found(store, first)
    assert ids(found) == [event.id for event in events]
    assert found.state == {str(number): number for number in range(120)}
    assert ids(first) == ids(found)[::3] and ids(second) == ids(found)[1::3] and ids(by_hand) == ids(found)[2::3]


def test_what_has_no_json_form_is_stored_as_text_when_told_so(
    make_store: Callable[..., SessionStore], caplog: pytest.LogCaptureFixture
) -> None:
    class Secret:
        def __repr__(self) -> str:
            return "hidden words"

    store = make_store(unserializable="coerce")
    with caplog.at_level(logging.WARNING):
        session = store.create_session(**NAMES, state={"odd-key": Secret(), "good": 1})
    assert "odd-key" in caplog.text and "hidden words" not in caplog.text
    assert session.state == {"odd-key": "hidden words", "good": 1}
    delta = {"call": print, "user:deep": [Secret()], "bytes": b"\xff", "lone": "a\ud800"}
    store.append_event(session, an_event(delta=delta))
    found = _found(store, session)
    assert found.state["user:deep"] == ["hidden words"]
    assert "print" in found.state["call"] and "xff" in found.state["bytes"] and "ud800" in found.state["lone"]
    assert found.events[0].actions.state_delta == {key: found.state[key] for key in delta}


def _found(store: SessionStore, session: Session) -> Session:
    found = store.get_session(app_name=session.app_name, user_id=session.user_id, session_id=session.id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "url",
    [
        "user:secret@host:6379",
        "redis:/user:secret@host",
        "mongodb:/u:secret@h/db",
        "mongodb://u:secret",
        "redis://user:sec[ret]x@host",
        "redis://user:secret",
    ],
)
def test_broken_urls_tell_no_password(url: str) -> None:
    for make in (lambda: RedisSessionStore(url), lambda: MongoSessionStore(url, db_name="x")):
        with pytest.raises(ConfigurationError) as refused:
            make()
        assert "secret" not in str(refused.value)
        assert "sec[" not in str(refused.value)


def test_the_database_may_be_the_second_argument() -> None:
    for cls in (MongoSessionStore, MongoSessionService):
        made = cls("mongomock://second", "shop")
        assert (made if isinstance(made, MongoSessionStore) else made.store).db_name == "shop"


@pytest.mark.parametrize("path", ["/shop", "/0shop", "/%73hop", "/1/2", "/-1", "//", "/ 0"])
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_path_that_redis_py_would_ignore_or_misread_is_refused(scheme: str, path: str) -> None:
    with pytest.raises(ConfigurationError, match="must be empty or the number of a database"):
        RedisSessionStore(f"{scheme}://host{path}?ttl=30d")


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("redis://host", 0),
        ("redis://host/", 0),
        ("redis://host/3", 3),
        ("rediss://host/%33?ttl=30d", 3),
        ("redis://host/12/", 12),
        ("unix:///run/shop?db=3", 3),
    ],
)
def test_the_path_of_a_url_is_the_number_of_the_database(url: str, number: int) -> None:
    with RedisSessionStore(url) as store:
        assert (store.client.connection_pool.connection_kwargs.get("db") or 0) == number
