"""Whatever an application traces with, or without, no operation fails of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, Tracer
from support.spans import NAMES, spying, titles

from adk_extra_sessions import telemetry
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.testing.contract.samples import a_session, an_event

pytestmark = [pytest.mark.anyio, pytest.mark.not_on("replicaset")]  # which is a mongod to them


class FailingProcessor(SpanProcessor):
    """An application's processor of spans with a bug."""

    def __init__(self, fails: str) -> None:
        self._fails = fails

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self._fails == "on_start":
            raise ZeroDivisionError

    def on_end(self, span: ReadableSpan) -> None:
        if self._fails == "on_end":
            raise ZeroDivisionError


@pytest.mark.parametrize("fails", ["on_start", "on_end"])
async def test_a_processor_of_spans_that_fails_fails_no_operation(
    service: SessionService, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(FailingProcessor(fails))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    sessions = [await a_session(service) for _ in range(3)]
    await asyncio.gather(*(service.append_event(session, an_event()) for session in sessions))
    service.store.append_event(sessions[0], an_event())
    stored = await service.get_session(**NAMES, session_id=sessions[0].id)
    assert stored is not None
    assert [len(one.events) for one in (stored, *sessions)] == [2, 2, 1, 1]


async def test_where_a_trace_is_not_sampled_nothing_of_it_is(
    service: SessionService, exporter: InMemorySpanExporter, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [await a_session(service) for _ in range(20)]
    exporter.clear()
    spying(service.store.backend, "append", monkeypatch, tracer)
    with trace.use_span(NonRecordingSpan(SpanContext(trace_id=1, span_id=1, is_remote=False))):
        await asyncio.gather(*(service.append_event(session, an_event()) for session in sessions))
    assert titles(exporter) == []


async def test_without_a_provider_nothing_is_made(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_tracer", trace.NoOpTracer())
    seen = []

    def spied(*arguments: Any) -> None:
        seen.append((trace.get_current_span(), telemetry.current()))

    monkeypatch.setattr(service.store.backend, "read", spied)
    await service.get_session(**NAMES, session_id="one")
    assert seen == [(trace.INVALID_SPAN, None)]


def test_a_provider_set_after_the_import_is_used() -> None:
    script = """
        from adk_extra_sessions import RedisSessionStore
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        with RedisSessionStore("fakeredis://") as store:
            store.list_sessions(app_name="app")
            exporter = InMemorySpanExporter()
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            trace.set_tracer_provider(provider)
            store.create_session(app_name="app", user_id="user")
        (span,) = exporter.get_finished_spans()
        print(span.name, span.instrumentation_scope.name, span.instrumentation_scope.version)
    """
    import adk_extra_sessions

    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["create_session", "adk_extra_sessions", adk_extra_sessions.__version__], run.stderr
