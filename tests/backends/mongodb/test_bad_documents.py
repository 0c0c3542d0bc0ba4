"""One bad document is named, and in nobody's way: in lists, in reading, in copies."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from adk_extra_sessions import CorruptRecordError, MongoSessionStore
from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids
from adk_extra_sessions.transfer import StorePlace, copy_items


@pytest.fixture
def sound(store: MongoSessionStore) -> Any:
    session = store.create_session(app_name=APP, user_id=USER, session_id="sound", state={"user:a": 1, "app:a": 1})
    store.append_event(session, an_event())
    return session


@pytest.mark.parametrize("update", [{"$unset": {"user_id": 1}}, {"$set": {"user_id": 7}}], ids=["none", "number"])
def test_a_session_without_its_user_is_named_in_the_list(
    store: MongoSessionStore, sound: Any, update: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store.create_session(app_name=APP, user_id="other", session_id="bad")
    store.backend.sessions.update_one({"session_id": "bad"}, update)
    with caplog.at_level(logging.WARNING):
        assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["sound"]
    assert "'app/other/bad'" in caplog.text
    assert list(StorePlace(store).sessions(APP))


@pytest.mark.parametrize("field", ["expires_at", "create_time", "nonce", "initial_state"])
def test_what_can_be_read_is_listed(store: MongoSessionStore, sound: Any, field: str) -> None:
    store.backend.sessions.update_one({}, {"$unset": {field: 1}})
    found = store.get_session(app_name=APP, user_id=USER, session_id="sound")
    assert found is not None and ids(found) == ids(sound)
    assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["sound"]


@pytest.mark.parametrize(
    "update",
    [{"$set": {"state": "x"}}, {"$set": {"state": {"a": {"_json": "{"}}}}, {"$set": {"user_id": 7}}],
    ids=["text", "no-json", "number-for-user"],
)
def test_a_bad_state_ends_no_copy(
    store: MongoSessionStore, sound: Any, update: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for user in ("bad", ""):
        store.create_session(app_name=APP, user_id=user, session_id="s", state={"user:b": 2})
    store.backend.states.update_one({"user_id": "bad"}, update)
    with MongoSessionStore("mongomock://copy-of-bad", db_name="copy") as destination:
        with caplog.at_level(logging.WARNING):
            results = list(copy_items(StorePlace(store).items([APP]), StorePlace(destination)))
        assert "bad" in caplog.text
        assert destination.get_user_state(app_name=APP, user_id=USER) == {"a": 1}
        assert destination.get_user_state(app_name=APP, user_id="") == {"b": 2}  # "" is a user too
        copied = destination.list_sessions(app_name=APP).sessions
        assert {(one.user_id, one.id) for one in copied} >= {(USER, "sound"), ("", "s")}
        assert len(results) >= 5
        destination.client["copy"].drop_collection("sessions")
        destination.client["copy"].drop_collection("state")


@pytest.mark.parametrize("erased", ["user", "app"])
def test_damaged_documents_are_erased_too(store: MongoSessionStore, erased: str) -> None:
    sessions, states = store.backend.sessions, store.backend.states
    for session_id in ("no names", "no number", "negative"):
        store.create_session(app_name=APP, user_id=USER, session_id=session_id, state={"user:a": 1, "app:a": 1})
    names = {"app_name": "", "user_id": "", "session_id": ""}
    sessions.update_one({"session_id": "no names"}, {"$unset": names})
    sessions.update_one({"session_id": "no number"}, {"$set": {"tail_count": "damaged"}})
    sessions.update_one({"session_id": "negative"}, {"$set": {"first_position": 1000}})
    sessions.insert_one({"_id": "foreign", "app_name": APP, "user_id": USER})
    states.update_many({}, {"$unset": names})
    receipt = store.delete_user(app_name=APP, user_id=USER) if erased == "user" else store.delete_app(app_name=APP)
    assert (receipt.sessions, receipt.events) == (4, 0)
    assert sessions.count_documents({}) == 0
    assert states.count_documents({}) == (erased == "user")


@pytest.mark.parametrize("field", ["state", "tickets"])
@pytest.mark.parametrize("scope", ["app", "user"])
def test_a_change_of_state_that_is_no_document_fails_without_showing_what_is_there(
    server: object, store: MongoSessionStore, scope: str, field: str
) -> None:
    session = store.create_session(app_name=APP, user_id=USER, state={f"{scope}:a": 1})
    state_id = layout.app_id(APP) if scope == "app" else layout.user_id(APP, USER)
    store.backend.states.update_one({"_id": state_id}, {"$set": {field: "secret"}})
    calls: list[Callable[[], object]] = [
        lambda: store.append_event(session, an_event(delta={f"{scope}:a": 2})),
        lambda: store.create_session(app_name=APP, user_id=USER, state={f"{scope}:a": 2}),
    ]
    for call in calls:
        with pytest.raises(CorruptRecordError, match=f"The state of {scope}") as caught:
            call()
        assert "secret" not in "".join(traceback.format_exception(caught.value))
