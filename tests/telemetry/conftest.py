"""Where the spans of a test go."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from adk_extra_sessions import telemetry


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where the spans of this test go: nothing global, so that no other test has any."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    return exporter


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracer:
    """Makes the spans of an application around ours, and those of a driver within."""
    return telemetry._tracer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
