"""Spans as an application's own tracing sees them: which, whose, and what they do not tell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from google.adk.sessions import Session
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import db_attributes, server_attributes
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from support.spans import NAMES, id_of, only, parent_of, spying, title, titles

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore, telemetry
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event

pytestmark = [pytest.mark.anyio, pytest.mark.not_on("replicaset")]  # which is a mongod to them


def test_every_operation_of_a_store_has_one_span(store: SessionStore, exporter: InMemorySpanExporter) -> None:
    session = store.create_session(**NAMES, session_id="one")
    store.append_event(session, an_event())
    store.append_many([(session, an_event()), (session, an_event())])
    store.append_many([(session, an_event())])
    store.get_session(**NAMES, session_id="one")
    store.list_sessions(app_name=APP)
    store.get_user_state(**NAMES)
    store.delete_session(**NAMES, session_id="one")
    store.ping()
    mongo = isinstance(store, MongoSessionStore)
    if mongo:
        store.ensure_indexes()
    sessions = ["create_session", "append_event", "BATCH append_event", "append_event", "get_session", "list_sessions"]
    beside = f" {store.backend.target.namespace}" if mongo else ""
    expected = [title(store, name) for name in sessions] + [f"get_user_state{beside}", title(store, "delete_session")]
    assert titles(exporter) == expected + [f"ensure_indexes{beside}"] * mongo
    assert {span.kind for span in exporter.get_finished_spans()} == {SpanKind.CLIENT}
    batch = only(exporter, "BATCH")
    assert batch.attributes is not None
    assert batch.attributes["db.operation.batch.size"] == 2
    assert batch.attributes["db.operation.name"] == "BATCH append_event"


def test_attributes_are_those_of_the_conventions(store: SessionStore, exporter: InMemorySpanExporter) -> None:
    store.create_session(**NAMES, session_id="one")
    expected: dict[str, Any] = {
        db_attributes.DB_SYSTEM_NAME: "redis" if isinstance(store, RedisSessionStore) else "mongodb",
        db_attributes.DB_NAMESPACE: store.backend.target.namespace,
        db_attributes.DB_OPERATION_NAME: "create_session",
        "gen_ai.conversation.id": "one",
    }
    if isinstance(store, MongoSessionStore):
        expected[db_attributes.DB_COLLECTION_NAME] = "sessions"
        assert store.backend.target.namespace == store.db_name
    server = store.backend.server_address()
    if server is not None:
        expected |= {server_attributes.SERVER_ADDRESS: server[0], server_attributes.SERVER_PORT: server[1]}
    (span,) = [one for one in exporter.get_finished_spans() if one.name.startswith("create_session")]
    assert dict(span.attributes or {}) == expected


def test_a_real_servers_address_is_told(store: SessionStore, backend: str, server: Any) -> None:
    expected = None if backend == "rediscluster" else ("127.0.0.1", server.port)
    assert store.backend.server_address() == expected
    store.ping()
    assert store.backend.server_address() == expected


@pytest.mark.parametrize(
    ("url", "namespace", "address"),
    [
        ("redis://ada:pw@cache.example:6380/2", "2", ("cache.example", 6380)),
        ("redis://cache.example", "0", ("cache.example", None)),
        ("unix:///run/redis.sock?db=1", "1", ("/run/redis.sock", None)),
    ],
)
def test_target_of_a_redis_url(url: str, namespace: str, address: Any) -> None:
    with RedisSessionStore(url) as store:
        assert store.backend.target == telemetry.Target("redis", namespace)
        assert store.backend.server_address() == address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mongodb://ada:pw@db.example:27018/shop?connect=false", ("db.example", 27018)),
        ("mongodb://a.example,b.example/shop?replicaSet=rs&connect=false", None),
        ("mongomock://name/shop", None),
    ],
)
def test_target_of_a_mongo_url(url: str, address: Any) -> None:
    with MongoSessionStore(url, collection_prefix="chat_") as store:
        assert store.backend.target == telemetry.Target("mongodb", "shop", "chat_sessions")
        assert store.backend.server_address() == address


async def test_an_operation_of_a_service_has_one_span_too(
    service: SessionService, exporter: InMemorySpanExporter, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("request") as request:
        session = await service.create_session(**NAMES, session_id="one")
        await service.append_event(session, an_event())
        await service.get_session(**NAMES, session_id="one")
        await service.list_sessions(app_name=APP)
        await service.get_user_state(**NAMES)
        await service.delete_session(**NAMES, session_id="one")
        await service.flush()
    *ours, _ = exporter.get_finished_spans()
    operations = ["create_session", "append_event", "get_session", "list_sessions", "get_user_state", "delete_session"]
    assert [span.name.split()[0] for span in ours] == operations
    assert {parent_of(span) for span in ours} == {request.get_span_context().span_id}


async def test_what_a_driver_does_for_a_service_belongs_to_the_callers_span(
    service: SessionService, exporter: InMemorySpanExporter, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await a_session(service)
    for primitive, name in [("read", "get_session"), ("append", "append_event")]:
        exporter.clear()
        with monkeypatch.context() as patch:
            spying(service.store.backend, primitive, patch, tracer)
            if name == "get_session":
                await service.get_session(**NAMES, session_id=session.id)
            else:
                await service.append_event(session, an_event())
        driver, ours = exporter.get_finished_spans()
        assert (driver.name, ours.name.split()[0]) == ("driver", name)
        assert parent_of(driver) == id_of(ours)
        assert ours.parent is None


async def test_reads_see_the_context_variables_of_their_caller(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    seen = []
    monkeypatch.setattr(service.store.backend, "read", lambda *arguments: seen.append(request.get()))
    request.set("mine")
    await service.get_session(**NAMES, session_id="one")
    assert seen == ["mine"]


async def test_each_of_many_callers_has_its_own_span_and_the_batch_one_for_all(
    service: SessionService, exporter: InMemorySpanExporter, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = [await a_session(service) for _ in range(6)]
    exporter.clear()
    arrived, go_on = threading.Event(), threading.Event()
    original = service.store.backend.append

    def slow(requests: Sequence[Any]) -> Any:
        arrived.set()
        assert go_on.wait(30)
        with tracer.start_as_current_span("driver"):
            return original(requests)

    monkeypatch.setattr(service.store.backend, "append", slow)

    async def turn(session: Session) -> tuple[int, int]:
        with tracer.start_as_current_span("request") as request:
            await service.append_event(session, an_event())
        context = request.get_span_context()
        return context.trace_id, context.span_id

    ahead = asyncio.ensure_future(turn(first))
    await asyncio.to_thread(arrived.wait, 30)
    turns = [asyncio.ensure_future(turn(session)) for session in others]
    await asyncio.sleep(0)
    go_on.set()
    requests = [await ahead, *[await task for task in turns]]

    spans = exporter.get_finished_spans()
    appends = [span for span in spans if span.name.startswith("append_event")]
    assert sorted((span.context.trace_id, parent_of(span)) for span in appends if span.context) == sorted(requests)
    batch = only(exporter, "BATCH")
    assert batch.parent is None
    assert batch.attributes is not None
    assert batch.attributes["db.operation.batch.size"] == 5
    waited = {request[1] for request in requests[1:]}
    linked = {link.context.span_id for link in batch.links}
    assert linked == {id_of(span) for span in appends if parent_of(span) in waited}
    in_batch, alone = [span for span in spans if span.name == "driver"][::-1]
    assert parent_of(in_batch) == id_of(batch)
    assert parent_of(alone) in {id_of(span) for span in appends}
    assert {parent_of(span) for span in appends} == {request[1] for request in requests}


async def test_a_callers_span_lasts_as_long_as_it_waits(
    service: SessionService, exporter: InMemorySpanExporter, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await a_session(service)
    arrived, go_on = threading.Event(), threading.Event()
    original = service.store.backend.append

    def slow(requests: Sequence[Any]) -> Any:
        arrived.set()
        assert go_on.wait(30)
        return original(requests)

    monkeypatch.setattr(service.store.backend, "append", slow)
    append = asyncio.ensure_future(service.append_event(session, an_event()))
    await asyncio.to_thread(arrived.wait, 30)
    append.cancel()
    await asyncio.sleep(0)
    assert not any(name.startswith("append_event") for name in titles(exporter))
    with tracer.start_as_current_span("meanwhile") as meanwhile:
        go_on.set()
    await asyncio.wait([append])
    ours = only(exporter, "append_event")
    assert append.cancelled() and ours.status.status_code is StatusCode.UNSET
    assert isinstance(meanwhile, ReadableSpan)
    assert ours.start_time and ours.end_time and meanwhile.start_time
    assert ours.start_time < meanwhile.start_time < ours.end_time


def test_iterating_makes_a_span_for_each_page_and_none_around_the_callers_work(
    store: SessionStore, exporter: InMemorySpanExporter, tracer: Tracer
) -> None:
    for _ in range(4):
        store.create_session(**NAMES)
    exporter.clear()
    with tracer.start_as_current_span("request") as request:
        for _ in store.iter_sessions(app_name=APP, user_id=USER, page_size=2):
            assert trace.get_current_span() is request
            store.get_user_state(**NAMES)
    read = [span for span in exporter.get_finished_spans() if span.name == title(store, "iter_sessions")]
    assert len(read) >= 2
    assert {parent_of(span) for span in exporter.get_finished_spans()} == {request.get_span_context().span_id, None}
    assert len([name for name in titles(exporter) if name.startswith("get_user_state")]) == 4
