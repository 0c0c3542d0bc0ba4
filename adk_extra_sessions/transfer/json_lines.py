"""Files of exported sessions: JSON Lines, one line for each event, so that a session of any length can be streamed.

    {"adk_sessions": 1, "written_by": "adk-extra-sessions 0.2.0"}
    {"session": {"app_name": "shop", "user_id": "ada", "id": "s1", "state": {}, "last_update_time": 1.5, "events": 2}}
    {"event": {...}}
    {"event": {...}}
    {"user_state": {"app_name": "shop", "user_id": "ada", "state": {}}}
    {"app_state": {"app_name": "shop", "state": {}}}
    {"end": {"sessions": 1, "events": 2}}

A session may have more: `display_name`, `labels`, `create_time`, its own `ttl` or
`expire_time`. An event is ADK's own JSON of it. Numbers may be NaN and Infinity, as Python
writes them. The last line has the number of sessions and events; a file without
it is incomplete.
"""

from __future__ import annotations

import gzip
import shutil
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Literal, cast

from google.adk.events import Event
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from adk_extra_sessions import __version__
from adk_extra_sessions.errors import SessionFileError
from adk_extra_sessions.event_json import encode_event
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state import split
from adk_extra_sessions.transfer.copying import Outcome, Result, attempt
from adk_extra_sessions.transfer.copying_details import session_with_details, written
from adk_extra_sessions.transfer.items import Item, SessionItem, SharedStateItem
from adk_extra_sessions.transfer.streams import AT_ONCE, StreamedSession

VERSION = 1
"""Version of the format; a file with a higher one is refused."""

HELD_BYTES = 4 << 20
"""Bytes of a session that are kept in memory until all of it has been read; beyond that, a temporary file is used."""

_EVENT = b'{"event"'
_event = TypeAdapter(dict[Literal["event"], Event])


def write_items(items: Iterable[Item], file: IO[bytes]) -> Iterator[Result]:
    """Writes items to a file of exported sessions, in constant memory.

    A session that cannot be read to its end, or is deleted meanwhile, is left out.

    Args:
        items: From `Place.items`.
        file: Open for writing.

    Yields:
        WRITTEN, STATE, GONE or FAILED for each item. The file is complete after the last one.
    """
    sessions = events = 0
    _write(file, {"adk_sessions": VERSION, "written_by": f"adk-extra-sessions {__version__}"})
    for item in items:
        result = attempt(lambda item: _written(item, file), item)
        if result.outcome is Outcome.WRITTEN:
            sessions, events = sessions + 1, events + result.events
        yield result
    _write(file, {"end": {"sessions": sessions, "events": events}})


def read_items(file: IO[bytes], app_names: Iterable[str] = (), user_ids: Iterable[str] = ()) -> Iterator[Item]:
    """Reads items from a file of exported sessions, in constant memory.

    The events of a long session are read from the file as the caller iterates
    over them; the next item is read after that.

    Args:
        file: Open for reading.
        app_names: Only these apps.
        user_ids: Only these users; the app's state, which all users share, is then left out.

    Raises:
        SessionFileError: The file is damaged, incomplete, or from a newer version, or a given
            app or user is not in it. All complete sessions before the damage have been yielded.
    """
    apps, users = set(app_names), set(user_ids)
    missing = {f"app {name!r}" for name in apps} | {f"user {name!r}" for name in users}
    for item in _Reader(file).items():
        app_name = item.app_name if isinstance(item, SharedStateItem) else item.key.app_name
        user_id = item.user_id if isinstance(item, SharedStateItem) else item.key.user_id
        missing -= {f"app {app_name!r}"} | ({f"user {user_id!r}"} if not apps or app_name in apps else set())
        if (not apps or app_name in apps) and (not users or user_id in users):
            yield item
        elif isinstance(item, SessionItem):
            with item.reading():
                pass
    if missing:
        raise SessionFileError(f"The file has no sessions and no state of {min(missing)}.")


def _write(file: IO[bytes], line: dict[str, Any]) -> None:
    file.write(to_json(line, inf_nan_mode="constants") + b"\n")


def _write_shared_state(item: SharedStateItem, file: IO[bytes]) -> None:
    if item.user_id is None:
        _write(file, {"app_state": {"app_name": item.app_name, "state": item.state}})
    else:
        _write(file, {"user_state": {"app_name": item.app_name, "user_id": item.user_id, "state": item.state}})


def _written(item: Item, file: IO[bytes]) -> Result:
    if isinstance(item, SharedStateItem):
        _write_shared_state(item, file)
        return Result(item, Outcome.STATE)
    with SpooledTemporaryFile(HELD_BYTES) as whole:
        count = _write_session(item, cast("IO[bytes]", whole))
        if count is None:
            return Result(item, Outcome.GONE)
        whole.seek(0)
        shutil.copyfileobj(whole, file)
        return Result(item, Outcome.WRITTEN, count)


def _write_session(item: SessionItem, file: IO[bytes]) -> int | None:
    with item.reading() as source:
        if source is None:
            return None
        session = source.session
        head = {
            "app_name": session.app_name,
            "user_id": session.user_id,
            "id": session.id,
            "state": split(session.state).session,
            "last_update_time": session.last_update_time,
            "events": source.count,
            **written(session),
        }
        _write(file, {"session": head})
        for event in source.events:
            file.write(_EVENT + b":" + encode_event(event, coerce=True).text + b"}\n")
        return source.count


class _Reader:
    """Reads the lines of a file, one ahead, and counts them for error messages."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = (line for line in self._readable(file) if line.strip())
        self._broken = ""
        self._number = 0
        self._sessions = self._events = 0
        self._ahead = next(self._lines, b"")

    def items(self) -> Iterator[Item]:
        """Yields the items in the file.

        Raises:
            SessionFileError: A line cannot be read, or the last one is missing.
        """
        self._check_header()
        while self._ahead:
            kind, value = self._parsed(self._taken())
            if kind == "session":
                session, events = self._session(value)
                yield session
                events.released.wait()
                for _ in range(events.unread):
                    self._taken()
            elif kind in ("app_state", "user_state"):
                yield self._shared_state(value)
            elif kind != "end" or self._ahead:
                raise self._damaged()
            elif not self._broken:
                self._check_counts(value)
                return
        raise SessionFileError(self._broken or "The file is incomplete: its last line is missing.")

    def _readable(self, file: IO[bytes]) -> Iterator[bytes]:
        """Yields the lines of a file, and those of a damaged gzip file up to the damage."""
        try:
            yield from file
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self._broken = "The file is damaged: it is not a complete gzip file."

    def _check_counts(self, end: Any) -> None:
        found = {"sessions": self._sessions, "events": self._events}
        if end != found:
            raise SessionFileError(
                f"The file is damaged: it has {self._sessions:,} sessions with {self._events:,} events, "
                "but its last line has other totals."
            )

    def _check_header(self) -> None:
        kind, version = "", None
        with suppress(SessionFileError):  # any other file
            kind, version = self._parsed(self._taken(), many=True)
        if kind != "adk_sessions":
            raise SessionFileError(self._broken or "Not a file of exported sessions: the first line is not its header.")
        if not isinstance(version, int) or version > VERSION:
            raise SessionFileError("A newer version of adk-extra-sessions wrote this file. Update to read it.")

    def _session(self, head: Any) -> tuple[SessionItem, _Events]:
        try:
            key = SessionKey.of(head["app_name"], head["user_id"], head["id"])
            session = session_with_details(
                head,
                app_name=key.app_name,
                user_id=key.user_id,
                id=key.session_id,
                state=head["state"],
                last_update_time=head["last_update_time"],
            )
            count = int(head["events"])
        except (KeyError, TypeError, ValueError):
            raise self._damaged() from None
        events = _Events(self, count)
        self._sessions, self._events = self._sessions + 1, self._events + count
        return SessionItem(key, lambda _: StreamedSession(session, count, events)), events

    def _shared_state(self, value: Any) -> SharedStateItem:
        try:
            return SharedStateItem(value["app_name"], value.get("user_id"), dict(value["state"]))
        except (KeyError, TypeError, ValueError):
            raise self._damaged() from None

    def event(self) -> Event:
        """Reads the next line, which must be an event."""
        line = self._taken()
        if not line:
            raise SessionFileError(self._broken or "The file is incomplete: it ends in the middle of a session.")
        try:
            return _event.validate_json(line)["event"]
        except ValueError:
            raise self._damaged() from None

    def _parsed(self, line: bytes, *, many: bool = False) -> tuple[str, Any]:
        try:
            found = from_json(line)
            ((kind, value), *more) = found.items()
        except (ValueError, AttributeError):
            raise self._damaged() from None
        if more and not many:
            raise self._damaged()
        return kind, value

    def _taken(self) -> bytes:
        line, self._ahead = self._ahead, next(self._lines, b"")
        self._number += 1
        return line

    def _damaged(self) -> SessionFileError:
        return SessionFileError(f"Line {self._number} of the file cannot be read.")


class _Events(Iterator[Event]):
    """The events of one session in a file: the first ones are read at once, the others during iteration.

    Attributes:
        unread: How many have not been read from the file yet.
        released: Set when no more will be read.
    """

    def __init__(self, reader: _Reader, count: int) -> None:
        self.unread = count
        self.released = threading.Event()
        self._reader = reader
        self._first = deque(self._take() for _ in range(min(count, AT_ONCE)))
        if not self.unread:
            self.released.set()

    def __next__(self) -> Event:
        if self._first:
            return self._first.popleft()
        if not self.unread or self.released.is_set():
            raise StopIteration
        return self._take()

    def close(self) -> None:
        """Lets the reader continue with the next item."""
        self.released.set()

    def _take(self) -> Event:
        event = self._reader.event()
        self.unread -= 1
        return event
