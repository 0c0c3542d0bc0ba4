"""`adk_extra_sessions.Session` wherever ADK's is taken."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from attrs import fields
from fastapi import FastAPI
from fastapi.testclient import TestClient
from google.adk.sessions import Session as AdkSession

from adk_extra_sessions import Session, SessionStore
from adk_extra_sessions.details import Lifetime, SessionDetails
from adk_extra_sessions.session import lifetime_of
from adk_extra_sessions.testing.backend_contract.managing import DETAILS
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.mark.parametrize("model", [AdkSession, Session], ids=["adk", "own"])
def test_a_fastapi_application_may_return_it(store: SessionStore, model: type[AdkSession]) -> None:
    session = store.create_session(**NAMES, display_name="Name", labels={"a": "b"})
    app = FastAPI()
    app.get("/one", response_model=model)(lambda: session)
    app.get("/all", response_model=list[model])(lambda: [session])  # type: ignore[valid-type]
    with TestClient(app) as client:
        for found in (client.get("/one").json(), client.get("/all").json()[0]):
            assert found["id"] == "one"
            assert found.get("displayName") == ("Name" if model is Session else None)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), Session.model_copy])
def test_a_copy_goes_on_like_the_original(store: SessionStore, copied: Any) -> None:
    session = store.create_session(**NAMES, display_name="Name", ttl="1h")
    other = copied(session)
    assert other == session and type(other) is Session
    assert lifetime_of(other) == Lifetime.sliding(3_600_000)
    store.append_event(other, an_event())
    found = store.get_session(**NAMES)
    assert found is not None and found.expire_time is not None


def test_a_session_of_adks_class_may_be_appended_to(store: SessionStore) -> None:
    session = store.create_session(**NAMES, ttl="1h")
    plain = AdkSession(**{name: getattr(session, name) for name in AdkSession.model_fields})
    store.append_event(plain, an_event())
    found = store.get_session(**NAMES)
    assert found is not None and lifetime_of(found) == Lifetime.sliding(3_600_000)


def test_every_detail_is_shown_by_a_session_and_tried_by_the_contract_of_backends() -> None:
    details = {one.name for one in fields(SessionDetails)}
    assert details - {"lifetime"} <= set(Session.model_fields)
    assert details - {"create_time", "expire_time"} == set(DETAILS)


@pytest.mark.parametrize("name", sorted({one.name for one in fields(SessionDetails)} & DETAILS.keys() - {"lifetime"}))
def test_json_has_the_details_as_soon_as_there_is_one_beside_times(name: str) -> None:
    named = {"id": "one", "app_name": APP, "user_id": USER, "create_time": 1.0}
    assert "createTime" not in Session(**named).model_dump(by_alias=True)
    written = Session(**named, **{name: DETAILS[name]}).model_dump(by_alias=True)
    assert written["createTime"] == 1.0
    assert Session.model_validate(written) == Session(**named, **{name: DETAILS[name]})
