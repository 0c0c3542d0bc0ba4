"""Parses documents once, where they are read, and finds what is damaged or foreign.

Events and deltas stay the documents that they are, since they are copied and
compared as such; what they must have is checked here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs
from attrs import field, frozen
from attrs.converters import optional
from typing_extensions import Self

from adk_extra_sessions.backends.mongodb import layout
from adk_extra_sessions.backends.mongodb.expiry import NEVER, lifetime_of
from adk_extra_sessions.backends.mongodb.field_values import (
    to_deltas,
    to_events,
    to_integer,
    to_number,
    utc,
)
from adk_extra_sessions.backends.mongodb.layout import UNTIL, Document
from adk_extra_sessions.details import Lifetime
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey


def damaged(key: SessionKey) -> CorruptRecordError:
    """The error for a document that cannot be used."""
    return CorruptRecordError(f"{key} cannot be used: what is stored is damaged.")


@frozen
class _Parsed:
    key: SessionKey

    @classmethod
    def fields(cls) -> list[str]:
        """The fields that it is parsed from."""
        return [one.name for one in attrs.fields(cls)[1:]]

    @classmethod
    def of(cls, document: Document, key: SessionKey) -> Self:
        """Parses a document of a session.

        Raises:
            CorruptRecordError: A field is missing, or of another type.
        """
        try:
            needed = [one for one in attrs.fields(cls)[1:] if one.default is attrs.NOTHING or one.name in document]
            return cls(key, **{one.name: document[one.name] for one in needed})
        except (KeyError, ValueError):
            raise damaged(key) from None


@frozen
class Remains(_Parsed):
    """What deleting a session needs of it."""

    pending: list[Document] = field(converter=to_deltas, repr=False)
    start_revision: int = field(converter=to_integer)

    @property
    def identity(self) -> Document:
        """Selects this session, and none created later under its names."""
        return {**layout.session_filter(self.key), "start_revision": self.start_revision}

    @property
    def owner(self) -> Document:
        """The fields by which its chunks and large bodies belong to it."""
        key = self.key
        names = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        return {**names, "start_revision": self.start_revision}


@frozen
class Head(Remains):
    """What an append needs of a session's document, which is not its state. `layout.FIELDS` says what its fields mean.

    The bodies of the tail's events may be missing.
    """

    revision: int = field(converter=to_integer)
    last_update_time: float = field(converter=to_number)
    first_position: int = field(converter=to_integer)
    tail: list[Document] = field(converter=to_events, repr=False)
    tail_first: int = field(converter=to_integer)
    tail_count: int = field(converter=to_integer)
    tail_bytes: int = field(converter=to_integer)
    chunked_until: float = field(converter=to_number)
    ahead: list[Document] = field(converter=to_events)
    chunks_expire_at: datetime = field(converter=utc)
    chunks_fence: int = field(converter=to_integer)
    expires_at: datetime = field(default=NEVER, converter=utc)
    ttl_ms: int | None = field(default=None, converter=optional(to_integer))

    @property
    def lifetime(self) -> Lifetime:
        """What decides when the session expires."""
        return lifetime_of(self.expires_at, self.ttl_ms)

    @property
    def chunk_prefix(self) -> str:
        """What the ids of its chunks and large bodies begin with."""
        return layout.chunk_prefix(layout.session_id(self.key), self.start_revision)

    @property
    def chunk_range(self) -> Document:
        """Selects its chunks, by their ids."""
        names = {"app_name": self.key.app_name, "user_id": self.key.user_id}
        return {"_id": layout.below(self.chunk_prefix), **names}

    @property
    def end(self) -> int:
        """The position that its next event gets."""
        return self.tail_first + self.tail_count

    def revision_after(self, position: int) -> int:
        """Returns the revision just after the event at a position."""
        return self.revision - (self.end - position - 1)

    def as_read(self) -> Document:
        """Selects the session if it is as it was read: the very events in its tail, and the expiry of its chunks.

        Its revision alone does not prove that: after a change of primary the same
        revision may come again with other events.
        """
        fields = {name: getattr(self, name) for name in ("revision", "tail_first", "chunks_fence", "ttl_ms")}
        if self.ttl_ms == UNTIL:
            fields["expires_at"] = self.expires_at
        return {**self.identity, **fields, **same_events("tail", self.tail)}


@frozen
class Chunk(_Parsed):
    """A document of events that are no longer in their session's tail. Bodies may be missing."""

    start_revision: int = field(converter=to_integer)
    first: int = field(converter=to_integer)
    count: int = field(converter=to_integer)
    events: list[Document] = field(converter=to_events, repr=False)
    expires_at: datetime = field(converter=utc)
    fence: int = field(converter=to_integer)

    def __attrs_post_init__(self) -> None:
        if self.count != len(self.events):
            raise ValueError("an event is missing")

    def expires_as(self, head: Head, expires_at: datetime) -> bool:
        """Whether it was given this date, with the session's fencing token; another writer's chunk may have its own."""
        return (self.expires_at, self.fence) == (expires_at, head.chunks_fence)

    def as_read(self) -> Document:
        """Selects the chunk if it has the very events that were read."""
        identity = layout.chunk_prefix(layout.session_id(self.key), self.start_revision)
        names = {"app_name": self.key.app_name, "user_id": self.key.user_id, "start_revision": self.start_revision}
        found = {"_id": layout.chunk_id(identity, self.first), **names, "count": self.count}
        return {**found, **same_events("events", self.events)}


def same_events(array: str, events: Sequence[Document]) -> Document:
    """Selects documents that have these events in an array."""
    return {f"{array}.{at}.digest": event["digest"] for at, event in enumerate(events)}


def digests(events: Sequence[Document]) -> list[bytes]:
    """Returns the digests of events."""
    return [event["digest"] for event in events]
