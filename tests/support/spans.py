"""What tests of spans share: names, the spans that were made, and a driver that makes spans, too."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from adk_extra_sessions import RedisSessionStore, SessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER

NAMES = {"app_name": APP, "user_id": USER}
SECRET = "4711-sesame"


def titles(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


def only(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in exporter.get_finished_spans() if span.name.split()[0] == name]
    return found


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def title(store: SessionStore, operation: str) -> str:
    return operation if isinstance(store, RedisSessionStore) else f"{operation} {store.backend.target.collection}"


def spying(store: Any, primitive: str, monkeypatch: pytest.MonkeyPatch, tracer: Tracer) -> None:
    """Makes a primitive do what an instrumented driver does: a span of its own for each command."""
    original = getattr(store, primitive)

    def spied(*arguments: Any) -> Any:
        with tracer.start_as_current_span("driver"):
            return original(*arguments)

    monkeypatch.setattr(store, primitive, spied)
