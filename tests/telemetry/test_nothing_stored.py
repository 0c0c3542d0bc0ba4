"""What spans do not tell: values, passwords, and messages of errors."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import db_attributes, error_attributes
from opentelemetry.trace import StatusCode
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from support.spans import NAMES, SECRET, only

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import AlreadyExistsError, SessionNotFoundError, StateValueError
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event

pytestmark = [pytest.mark.anyio, pytest.mark.not_on("replicaset")]  # which is a mongod to them


async def test_an_error_is_told_by_its_name(service: SessionService, exporter: InMemorySpanExporter) -> None:
    session = await a_session(service, session_id="one")
    with pytest.raises(AlreadyExistsError):
        await a_session(service, session_id="one")
    await service.delete_session(**NAMES, session_id="one")
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, an_event())
    failed = [span for span in exporter.get_finished_spans() if span.status.status_code is StatusCode.ERROR]
    told = [((span.attributes or {})[error_attributes.ERROR_TYPE], span.status.description) for span in failed]
    assert told == [
        ("AlreadyExistsError", "Session with id 'one' already exists."),
        ("SessionNotFoundError", "Session 'one' not found."),
    ]


def test_a_drivers_words_are_not_told(
    store: SessionStore, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ServerError(Exception):
        code = 11000

    def broken(*arguments: Any) -> Any:
        raise ServerError(f"duplicate key {SECRET}")

    monkeypatch.setattr(store.backend, "read", broken)
    with pytest.raises(ServerError):
        store.get_session(**NAMES, session_id="one")
    span = only(exporter, "get_session")
    attributes = dict(span.attributes or {})
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert (attributes["error.type"], attributes[db_attributes.DB_RESPONSE_STATUS_CODE])[1] == "11000"
    assert attributes["error.type"].endswith("ServerError")
    assert not span.events


def test_no_span_holds_what_is_stored(store: SessionStore, exporter: InMemorySpanExporter) -> None:
    state = {"key": SECRET, "user:key": SECRET, "app:key": SECRET, "temp:key": SECRET}
    session = store.create_session(**NAMES, state=state)
    store.append_event(session, an_event(SECRET, delta=state))
    store.append_many([(session, an_event(SECRET, delta=state)), (session, an_event(SECRET))])
    with pytest.raises(StateValueError):
        store.append_event(session, an_event(SECRET, delta={"key": SECRET, "bad": object()}))
    store.get_session(**NAMES, session_id=session.id)
    store.list_sessions(app_name=APP)
    spans = [span.to_json() for span in exporter.get_finished_spans()]
    assert len(spans) >= 6
    assert not [span for span in spans if SECRET in span or USER in span]


def test_no_span_holds_a_password(exporter: InMemorySpanExporter) -> None:
    with RedisSessionStore(f"redis://ada:{SECRET}@127.0.0.1:1", retry=None) as store, pytest.raises(RedisError):
        store.get_user_state(**NAMES)
    url = f"mongodb://ada:{SECRET}@127.0.0.1:1/db?serverSelectionTimeoutMS=200"
    with MongoSessionStore(url) as other, pytest.raises(PyMongoError):
        other.get_user_state(**NAMES)
    spans = [span.to_json() for span in exporter.get_finished_spans()]
    assert len(spans) == 2
    assert not [span for span in spans if SECRET in span or "ada:" in span]  # no bare "ada": ids are hexadecimal


def test_an_unpaired_surrogate_does_not_break_an_exporter(store: SessionStore, exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        store.get_session(**NAMES, session_id="\ud800")
    assert (only(exporter, "get_session").attributes or {})["gen_ai.conversation.id"] == "?"
