"""OpenTelemetry spans: one for each operation, without anything that was stored.

Names and attributes are those of OpenTelemetry's semantic conventions for
database client spans, stable since 1.33:
https://opentelemetry.io/docs/specs/semconv/db/database-spans/
An operation is what a caller asked for, such as `append_event`; the commands
that it needs are the driver's own spans, below it, where the driver has any.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from adk_extra_sessions import __version__, errors
from adk_extra_sessions.backends.base import Backend, Target

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

_tracer = trace.get_tracer("adk_extra_sessions", __version__, schema_url="https://opentelemetry.io/schemas/1.33.0")

_operation: ContextVar[Span | None] = ContextVar("adk_extra_sessions_operation", default=None)
"""The span of the current operation; calls inside it have no span of their own."""

_MESSAGE_MAY_BE_SHOWN = tuple(getattr(errors, name) for name in errors.__all__)
"""Errors raised here. A driver's message may hold what it was sent."""


_BEYOND_SESSIONS = ("ensure_indexes", "get_user_state")
"""Operations that work on no session."""

_NOTHING = nullcontext()


def traced(method: Method) -> Method:
    """Gives each call of a store's or a service's method a span, unless it is made inside another one."""
    name = method.__name__

    @functools.wraps(method)
    def call(owner: Any, *arguments: Any, **named: Any) -> Any:
        with _called(owner, name, arguments, named):
            return method(owner, *arguments, **named)

    @functools.wraps(method)
    async def call_async(owner: Any, *arguments: Any, **named: Any) -> Any:
        with _called(owner, name, arguments, named):
            return await method(owner, *arguments, **named)

    return cast(Method, call_async if inspect.iscoroutinefunction(method) else call)


def many(backend: Backend, size: int) -> AbstractContextManager[Any]:
    """A span for events that one caller appends together."""
    span = _started(backend, "append_event", size)
    return _NOTHING if span is None else _measured(span)


def pages(backend: Backend, name: str, found: Iterator[T]) -> Iterator[T]:
    """Yields pages, with a span for reading each; it does not include what the caller does in between."""
    while True:
        span = _started(backend, name)
        with _NOTHING if span is None else _measured(span):
            page = next(found, None)
        if page is None:
            return
        yield page


def current() -> Span | None:
    """Returns the span of the current operation, for work that another thread does for it."""
    return _operation.get()


def together(backend: Backend, callers: Sequence[Span | None]) -> AbstractContextManager[Any]:
    """Makes a span for what is stored for several callers together, linked to their spans.

    It is in none of their traces, since it belongs to all of them. What is stored
    for one caller alone is part of that caller's span.

    Args:
        backend: The database that keeps it.
        callers: The span of each caller's operation.
    """
    if not any(callers):
        return _NOTHING
    spans = [span for span in callers if span is not None]
    recorded = [span for span in spans if span.is_recording()]
    if len(callers) == 1 or not recorded:
        return _within(spans[0])
    links = [Link(span.get_span_context()) for span in recorded]
    span = _started(backend, "append_event", len(callers), context=Context(), links=links)
    return _NOTHING if span is None else _measured(span)


def _called(owner: Any, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> AbstractContextManager[Any]:
    span = _started(getattr(owner, "store", owner).backend, name)
    if span is None:
        return _NOTHING
    session = arguments[0] if arguments else named.get("session")
    session_id = named.get("session_id") or getattr(session, "id", None)
    if isinstance(session_id, str):  # ADK's name for it; a lone surrogate would break an exporter
        span.set_attribute("gen_ai.conversation.id", session_id.encode("utf-8", "replace").decode())
    return _measured(span)


def _started(
    backend: Backend, name: str, size: int = 1, context: Context | None = None, links: Sequence[Link] = ()
) -> Span | None:
    """Starts an operation's span; None inside another operation, and where nothing makes spans."""
    if context is None and _operation.get() is not None:
        return None
    title, attributes = _identity(backend.target, f"BATCH {name}" if size > 1 else name)
    try:
        span = _tracer.start_span(title, context, SpanKind.CLIENT, attributes, links)
    except Exception as error:  # the application's processor of spans: no reason to refuse an operation
        logger.debug("A span could not be started: %s", type(error).__name__)
        return None
    if not span.get_span_context().is_valid:
        return None
    if span.is_recording():
        if size > 1:
            span.set_attribute("db.operation.batch.size", size)
        address, port = backend.server_address() or (None, None)
        if address is not None:
            span.set_attribute("server.address", address)
        if port is not None:
            span.set_attribute("server.port", port)
    return span


@functools.lru_cache(maxsize=1024)
def _identity(target: Target, operation: str) -> tuple[str, dict[str, str]]:
    """Returns a span's name, and the attributes that never change."""
    attributes = {
        "db.system.name": target.system,
        "db.namespace": target.namespace,
        "db.operation.name": operation,
    }
    if target.collection is None:  # the number of a Redis database says nothing in a name
        return operation, attributes
    if operation in _BEYOND_SESSIONS:
        return f"{operation} {target.namespace}", attributes
    return f"{operation} {target.collection}", {**attributes, "db.collection.name": target.collection}


@contextmanager
def _measured(span: Span) -> Iterator[None]:
    """Makes a span the current one, ends it, and notes how the operation failed."""
    token = _operation.set(span)
    try:
        with _within(span):
            yield
    except Exception as error:
        _note(error, span)
        raise
    finally:
        _operation.reset(token)
        _end(span)


def _end(span: Span) -> None:
    try:
        span.end()
    except Exception as error:  # nor to say that one failed which has succeeded
        logger.debug("A span could not be ended: %s", type(error).__name__)


def _within(span: Span) -> AbstractContextManager[Any]:
    # No exception event: its traceback holds the messages of all that led to the error.
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def _note(error: Exception, span: Span) -> None:
    span.set_attribute("error.type", type(error).__qualname__)
    code = getattr(error, "code", None)
    if isinstance(code, int):
        span.set_attribute("db.response.status_code", str(code))
    span.set_status(StatusCode.ERROR, str(error) if isinstance(error, _MESSAGE_MAY_BE_SHOWN) else None)
