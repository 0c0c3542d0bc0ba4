"""Checks a store's server, indexes and records, and says what to do about each problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from adk_extra_sessions.backends.findings import Finding, Level, rm_command
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.transfer.streams import stream_session
from adk_extra_sessions.transfer.workers import each

__all__ = ["Finding", "Level", "examine", "server_finding"]

JOBS = 4
"""Sessions that are read at the same time."""

NAMED = 20
"""How many unreadable sessions are reported one by one; the others are counted."""


def examine(
    store: SessionStore, *, records: bool = True, on_session: Callable[[], object] = lambda: None
) -> Iterator[Finding]:
    """Checks a store and its server; writes nothing.

    Args:
        store: A store of this package.
        records: Whether to read all sessions and events too.
        on_session: Called for each session that has been read.

    Yields:
        The findings, the server first. If the server does not answer, there are no others.
    """
    server = server_finding(store)
    yield server
    if server.level is Level.PROBLEM:
        return
    yield from store.archive.findings()
    if records:
        yield from _records(store, on_session)


def server_finding(store: SessionStore) -> Finding:
    """Checks that the server answers.

    Args:
        store: A store of this package.
    """
    start = time.perf_counter()
    try:
        store.ping()
    except store.backend.driver_error as error:
        remedy = "Check that the server is running, and host, port, password and TLS in the URL."
        return Finding(Level.PROBLEM, "server", f"does not answer: {error}", remedy)
    return Finding(Level.OK, "server", f"answers in {(time.perf_counter() - start) * 1000:.1f} ms")


def _records(store: SessionStore, on_session: Callable[[], object]) -> Iterator[Finding]:
    keys = (key for app_name in store.archive.app_names() for key in store.archive.session_keys(app_name, None))
    sessions = events = gone = unreadable = 0
    for key, count in each(partial(_read, store), keys, JOBS):
        on_session()
        if isinstance(count, int):
            sessions, events = sessions + 1, events + count
        elif count is None:
            gone += 1
        else:
            unreadable += 1
            if unreadable <= NAMED:
                yield _unreadable(key, count)
    if unreadable > NAMED:
        yield Finding(Level.PROBLEM, "records", f"{unreadable - NAMED:,} more sessions cannot be read")
    level = Level.NOTE if unreadable else Level.OK
    yield Finding(level, "records", f"{sessions:,} sessions with {events:,} events can be read")
    yield from _first(store.archive.strays())
    if gone:
        yield Finding(
            Level.NOTE,
            "expired",
            f"{gone:,} listed sessions have expired, or were deleted meanwhile",
            "No action needed: they leave the list when sessions are listed next, or the server removes them.",
        )


def _first(findings: Iterator[Finding]) -> Iterator[Finding]:
    count = 0
    for finding in findings:
        count += 1
        if count <= NAMED:
            yield finding
    if count > NAMED:
        text = f"{count - NAMED:,} more keys or documents do not belong to any session, or are damaged"
        yield Finding(Level.PROBLEM, "records", text, "Repair those above, and run doctor again.")


def _read(store: SessionStore, key: SessionKey) -> tuple[SessionKey, int | CorruptRecordError | None]:
    try:
        found = stream_session(store, app_name=key.app_name, user_id=key.user_id, session_id=key.session_id)
        return key, None if found is None else sum(1 for _ in found.events)
    except SessionNotFoundError:
        return key, None
    except CorruptRecordError as error:
        return key, error


def _unreadable(key: SessionKey, error: CorruptRecordError) -> Finding:
    advice = "Update adk-extra-sessions and google-adk, restore it from a backup, or delete it"
    remedy = f"{advice}: {rm_command(key)}"
    return Finding(Level.PROBLEM, "records", str(error), remedy)
