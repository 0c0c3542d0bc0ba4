"""Foreign, half-written and newer records in the place of ours: named, left as they are, and in nobody else's way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from google.adk.sessions import Session
from support.damages import (
    KEY,
    MONGO_APP,
    MONGO_SESSION,
    MONGO_USER,
    REDIS_APP,
    REDIS_SESSION,
    REDIS_USER,
    pick,
    replaced,
    session_with,
)

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.backends.mongodb.parsing import Head
from adk_extra_sessions.errors import AlreadyExistsError, CorruptRecordError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


FIELDS = (*Head.fields(), "format", "state", "initial_state", "session_id")
"""Fields of a session's document, any of which may be missing."""


def kinds(redis: dict[str, Any], mongo: dict[str, Any]) -> list[Any]:
    """All pairs of a backend and a damage."""
    from conftest import BACKENDS

    return [(name, kind) for name in BACKENDS for kind in (redis if "redis" in name else mongo)]


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def others(store: SessionStore) -> list[Session]:
    """Sessions nothing happens to: of the same user, and of another."""
    made = [store.create_session(app_name=APP, user_id=user, state={"own": 1}) for user in (USER, "other")]
    for one in made:
        store.append_event(one, an_event(delta={"more": [1]}))
    return made


@pytest.fixture
def damaged(store: SessionStore) -> Session:
    """The session to be damaged, with shared state."""
    made = store.create_session(**NAMES, state={"own": 1, "user:a": 1, "app:a": 1})
    store.append_event(made, an_event("before"))
    return made


def raw(store: SessionStore) -> Any:
    """All that is stored for the test, as it is."""
    if isinstance(store, RedisSessionStore):
        found = {}
        for key in store.client.scan_iter(match=f"{store.prefix}*"):
            kind = store.client.type(key)
            read = {b"string": "get", b"hash": "hgetall", b"list": "lrange", b"zset": "zrange"}[kind]
            found[key] = getattr(store.client, read)(key, *((0, -1) if kind in (b"list", b"zset") else ()))
            if key.endswith(b":a") and kind == b"hash":
                found[key].pop(b"last_ticket", None)  # an append that is refused may have taken one
        return found
    assert isinstance(store, MongoSessionStore)
    counters = {"ticket": 0, "bytes": 0}  # an append that is refused may have counted
    return [
        list(one.find({}, counters).sort("_id", 1))
        for one in (store.backend.sessions, store.backend.chunks, store.backend.states)
    ]


@pytest.mark.parametrize(("backend", "damage"), kinds(REDIS_SESSION, MONGO_SESSION), indirect=["backend"])
def test_a_damaged_session_is_named_left_alone_and_in_nobodys_way(
    make_store: Callable[..., SessionStore],
    store: SessionStore,
    others: list[Session],
    damaged: Session,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pick(store, damage, REDIS_SESSION, MONGO_SESSION)
    before = raw(store)
    for reading in (store, make_store(cache="1MB"), make_store(history="compacted")):
        with pytest.raises(CorruptRecordError, match="'one'"):
            reading.get_session(**NAMES)
    with pytest.raises(CorruptRecordError, match="'one'"):
        store.append_event(damaged, an_event(delta={"own": 2, "user:a": 2, "app:a": 2}))
    assert texts(damaged) == ["before"] and damaged.state == {"own": 1, "user:a": 1, "app:a": 1}
    with pytest.raises((CorruptRecordError, AlreadyExistsError), match="one"):
        store.create_session(**NAMES, state={"own": 2})
    if "version" in damage:
        with pytest.raises(CorruptRecordError, match="'one'"):
            store.update_session(**NAMES, display_name="new")
    assert raw(store) == before
    with caplog.at_level(logging.WARNING):
        everyone = store.list_sessions(app_name=APP).sessions
        of_user = list(store.iter_sessions(app_name=APP, user_id=USER, page_size=1))
    assert "'one'" in caplog.text or "one" in [one.id for one in everyone]  # what is intact is listed
    assert [one.id for one in everyone if one.id != "one"] == [one.id for one in others]
    assert [one.id for one in of_user if one.id != "one"] == [others[0].id]
    results = store.append_many([(damaged, an_event()), *((one, an_event("after")) for one in others)])
    assert [isinstance(one, CorruptRecordError) for one in results] == [True, False, False]
    for one in others:
        found = store.get_session(app_name=APP, user_id=one.user_id, session_id=one.id)
        assert found is not None and texts(found) == texts(one) == ["hello", "after"]


@pytest.mark.parametrize(("backend", "damage"), kinds(REDIS_USER, MONGO_USER), indirect=["backend"])
def test_damaged_user_state_is_named_and_in_no_other_users_way(
    store: SessionStore, others: list[Session], damaged: Session, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    pick(store, damage, REDIS_USER, MONGO_USER)
    before = raw(store)
    with pytest.raises(CorruptRecordError, match=USER):
        store.get_session(**NAMES)
    with pytest.raises(CorruptRecordError, match=USER):
        store.get_user_state(app_name=APP, user_id=USER)
    with caplog.at_level(logging.WARNING):
        assert [one.id for one in store.list_sessions(app_name=APP).sessions] == [others[1].id]
    assert repr(USER) in caplog.text
    assert raw(store) == before
    store.append_event(others[1], an_event(delta={"user:a": 2, "app:a": 2}))
    found = store.get_session(app_name=APP, user_id="other", session_id=others[1].id)
    assert found is not None and found.state == {"own": 1, "more": [1], "user:a": 2, "app:a": 2}


@pytest.mark.parametrize(
    ("backend", "damage"),
    kinds({**REDIS_USER, "index": replaced(lambda keys: keys.index, "SET", "foreign")}, {}),
    indirect=["backend"],
)
def test_what_one_user_has_damaged_does_not_end_a_copy(
    store: RedisSessionStore, others: list[Session], damaged: Session, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.create_session(app_name=APP, user_id="other", state={"user:a": 1})
    {**REDIS_USER, "index": replaced(lambda keys: keys.index, "SET", "foreign")}[damage](store)
    with caplog.at_level(logging.WARNING):
        found = {key.user_id for key in store.archive.session_keys(APP, None)}
        states = dict(store.archive.user_states(APP))
    assert repr(USER) in caplog.text
    assert found == ({"other"} if damage == "index" else {USER, "other"})
    assert states["other"] == {"a": 1}


@pytest.mark.parametrize(("backend", "damage"), kinds(REDIS_APP, MONGO_APP), indirect=["backend"])
def test_damaged_app_state_is_named_and_in_no_other_apps_way(
    store: SessionStore, others: list[Session], damaged: Session, damage: str
) -> None:
    elsewhere = store.create_session(app_name="elsewhere", user_id=USER, state={"app:a": 1})
    pick(store, damage, REDIS_APP, MONGO_APP)
    before = raw(store)
    with pytest.raises(CorruptRecordError, match=APP):
        store.get_session(**NAMES)
    with pytest.raises(CorruptRecordError, match=APP) as listing:
        store.list_sessions(app_name=APP)
    assert "user" not in str(listing.value)
    if isinstance(store, RedisSessionStore) and damage == "app-state-of-another-type":
        with pytest.raises(CorruptRecordError, match=APP):
            store.create_session(app_name=APP, user_id=USER, state={"app:a": 2})
    assert raw(store) == before
    store.append_event(elsewhere, an_event(delta={"app:a": 2}))
    (listed,) = store.list_sessions(app_name="elsewhere").sessions
    assert listed.state == {"app:a": 2}


@pytest.mark.parametrize(
    ("backend", "damage"),
    kinds(dict.fromkeys(("index", "users_by_expiry", "users_by_name")), {}),
    indirect=["backend"],
)
def test_a_foreign_index_is_named_before_anything_is_written(
    store: RedisSessionStore, others: list[Session], damaged: Session, damage: str
) -> None:
    replaced(lambda keys: getattr(keys, damage), "SET", "foreign")(store)
    before = raw(store)
    if damage == "index":
        assert [one.id for one in store.list_sessions(app_name=APP).sessions] == [others[1].id]
    elif damage == "users_by_expiry":  # lists do not read it
        assert len(store.list_sessions(app_name=APP).sessions) == 3
    else:
        with pytest.raises(CorruptRecordError, match=APP):
            store.list_sessions(app_name=APP)
    with pytest.raises(CorruptRecordError):
        store.create_session(app_name=APP, user_id=USER, session_id="two")
    with suppress(CorruptRecordError):  # on a cluster it does not touch the app's index
        store.delete_session(app_name=APP, user_id=USER, session_id="two")
    if damage == "index":
        with pytest.raises(CorruptRecordError):
            store.delete_session(**NAMES)
    assert raw(store) == before
    assert store.get_session(**NAMES) == damaged


@pytest.mark.parametrize(("backend", "damage"), kinds({}, dict.fromkeys(FIELDS)), indirect=["backend"])
def test_half_a_document_is_read_in_full_or_named(
    store: MongoSessionStore, others: list[Session], damaged: Session, damage: str
) -> None:
    session_with({"$unset": {damage: 1}})(store)
    for operation in (
        lambda: store.get_session(**NAMES).events == damaged.events,
        lambda: [store.append_event(damaged, an_event(str(number))) for number in range(150)],
        lambda: store.delete_session(**NAMES) is None,
    ):
        with suppress(CorruptRecordError):
            assert operation()
    assert [one.id for one in store.list_sessions(app_name=APP).sessions if one.id != "one"] == [o.id for o in others]


@pytest.mark.parametrize(("backend", "damage"), kinds({}, {"documents": None}), indirect=["backend"])
def test_foreign_documents_beside_ours_are_not_seen(
    store: MongoSessionStore, others: list[Session], damaged: Session, damage: str
) -> None:
    selected = layout.session_filter(KEY)
    for number, foreign in enumerate([{}, {"_id": 7}, {"_id": f"{APP}/{USER}/zzz"}, {"_id": selected["_id"] + "~"}]):
        store.backend.sessions.insert_one({"foreign": number, **foreign})
    assert len(store.list_sessions(app_name=APP).sessions) == 3
    assert store.get_session(**NAMES) == damaged
    store.delete_session(app_name=APP, user_id=USER, session_id="zzz")
    assert store.backend.sessions.count_documents({"foreign": {"$exists": True}}) == 4


@pytest.mark.parametrize(
    ("backend", "damage"), kinds({"a-text": REDIS_SESSION["a-text-for-the-session"]}, {}), indirect=["backend"]
)
def test_deleting_clears_the_place_of_a_foreign_key(store: RedisSessionStore, damaged: Session, damage: str) -> None:
    REDIS_SESSION["a-text-for-the-session"](store)
    store.delete_session(**NAMES)
    assert store.get_session(**NAMES) is None
    store.create_session(**NAMES)
