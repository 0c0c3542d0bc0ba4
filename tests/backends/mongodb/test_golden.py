"""Golden records: this version reads them, appends to them and deletes them, and it writes the same form."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from support.golden_mongodb import (
    APP,
    DELTA,
    EMPTY,
    LABELS,
    LONG,
    NAMED,
    OUTLINE,
    PENDING,
    STATE,
    USER,
    dump,
    event,
    load,
    long_history,
    written,
)

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.details import Lifetime
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.session import lifetime_of
from adk_extra_sessions.testing.contract.samples import texts


def read(store: MongoSessionStore, session_id: str, **window: Any) -> Session:
    config = GetSessionConfig(**window)
    found = store.get_session(app_name=APP, user_id=USER, session_id=session_id, config=config)
    assert found is not None
    return found


def shared(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if ":" in name}


def test_golden_records_are_read(store: MongoSessionStore) -> None:
    load(store)
    session = read(store, LONG)
    assert session.events == long_history()
    pending = read(store, PENDING)
    assert pending.events == [event(0, "pending", delta=DELTA)]
    assert pending.state == {**shared(STATE), **DELTA}
    assert read(store, EMPTY).events == []
    # The other sessions do not see yet what is pending.
    assert session.state == {**STATE, "text": "large"}
    assert texts(read(store, LONG, num_recent_events=100)) == texts(session)[-100:]
    after = [one for one in long_history() if one.timestamp >= 1020.5]
    assert read(store, LONG, after_timestamp=1020.5).events == after
    assert {one.id for one in store.list_sessions(app_name=APP).sessions} == {PENDING, LONG, EMPTY, NAMED}
    part = store.backend.read_part(SessionKey(APP, USER, LONG), "compacted", None)
    assert part is not None and part.outline == OUTLINE
    named = store.get_session(app_name=APP, user_id=USER, session_id=NAMED)
    assert named is not None and (named.display_name, named.labels) == ("Shoes \N{GRINNING FACE}", LABELS)
    assert lifetime_of(named) == Lifetime.sliding(30_000 * 86_400_000)


def test_golden_records_are_written_to(store: MongoSessionStore) -> None:
    load(store)
    session = read(store, LONG)
    for number in range(130, 200):
        store.append_event(session, event(number, str(number)))
    repeated = long_history()[5]
    before = read(store, LONG)
    store.append_event(session, repeated)
    assert read(store, LONG) == before
    pending = read(store, PENDING)
    store.append_event(pending, event(1, "next"))
    assert read(store, EMPTY).state == {
        name: value for name, value in read(store, PENDING).state.items() if ":" in name
    }
    for name in (LONG, PENDING, EMPTY, NAMED):
        store.delete_session(app_name=APP, user_id=USER, session_id=name)
    left = dump(store)
    assert not left["sessions"] and not left["event_chunks"]
    assert store.get_user_state(app_name=APP, user_id=USER) == {"plan": "free"}


def form(value: Any) -> Any:
    """Returns the form of a value: its fields and types. Whole numbers of any size are one type."""
    if isinstance(value, dict):
        return {name: form(one) for name, one in value.items()}
    if isinstance(value, list):
        return [form(one) for one in value]
    kinds = [bool, int, float, str, bytes, datetime.datetime, type(None)]
    return next(kind.__name__ for kind in kinds if isinstance(value, kind))


def by_session(documents: list[dict[str, Any]]) -> list[tuple[str, int, Any]]:
    """Returns the forms of documents in an order that no time or random id changes."""
    keyed = [(str(one["_id"]).partition("#")[0], one.get("first", -1), form(one)) for one in documents]
    return sorted(keyed, key=lambda one: (one[0], one[1], repr(one[2])))


def test_todays_code_writes_the_form_of_the_golden_records(store: MongoSessionStore) -> None:
    load(store)
    golden = dump(store)
    for name in golden:
        store.backend.database[name].delete_many({})
    with written(store) as documents:
        for name, found in golden.items():
            assert by_session(documents[name]) == by_session(found), name


@pytest.mark.parametrize("collection", ["sessions", "event_chunks", "state", "turns"])
def test_values_that_no_clock_makes_are_the_same(store: MongoSessionStore, collection: str) -> None:
    load(store)
    golden = dump(store)
    for name in golden:
        store.backend.database[name].delete_many({})
    changing = {
        "_id",
        "nonce",
        "start_revision",
        "revision",
        "create_time",
        "last_update_time",
        "expires_at",
        "chunks_expire_at",
    }
    changing |= {"queue", "birth", "tail", "events", "pending", "body", "ahead"}

    def stable(documents: list[dict[str, Any]]) -> list[str]:
        return sorted(repr({name: one[name] for name in sorted(one.keys() - changing)}) for one in documents)

    with written(store) as documents:
        assert stable(documents[collection]) == stable(golden[collection])
