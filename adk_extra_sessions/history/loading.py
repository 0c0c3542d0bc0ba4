"""Reads what a turn needs of a session's history, in one round trip if its outline is up to date."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen
from google.adk.events import Event

from adk_extra_sessions.backends.base import ReadsParts
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.history.calls import changes_waiting
from adk_extra_sessions.history.needed import needed
from adk_extra_sessions.history.newest import newest
from adk_extra_sessions.history.outline import NewOutline, Outline, OutlineName, Part, ranges
from adk_extra_sessions.history.rewinds import is_rewind
from adk_extra_sessions.history.summaries import is_summary
from adk_extra_sessions.options import History
from adk_extra_sessions.records import SessionKey, SessionRecord

MORE = 16
"""Events read beyond those wanted, so that the beginning of a turn is mostly among them."""


@frozen
class Loaded:
    """What was loaded of a session.

    Attributes:
        outline: A better outline than the stored one, if there is one.
    """

    record: SessionRecord
    events: list[Event] = field(repr=False)
    outline: NewOutline | None


@frozen
class _Read:
    """A part of a history, decoded."""

    part: Part
    events: Sequence[Event] = field(repr=False)
    positions: Sequence[int]

    @classmethod
    def of(cls, part: Part, codec: Codec) -> _Read:
        events = [event for run in part.runs for event in codec.decode(run.bodies, part.record.key, run.first)]
        return cls(part, events, list(part.positions))

    def since(self, position: int) -> list[Event]:
        """Returns the events from a position on."""
        pairs = zip(self.positions, self.events, strict=True)
        return [event for place, event in pairs if place >= position]

    def loaded(self, chosen: Sequence[int], outline: NewOutline | None) -> Loaded:
        return Loaded(self.part.record, [self.events[index] for index in chosen], outline)

    def new_outline(self, name: OutlineName, outline: Outline) -> NewOutline | None:
        if self.part.newest is None:
            return None
        return NewOutline(name, outline, self.part.start_revision, self.part.newest)


@frozen
class Loader:
    """Loads sessions.

    Attributes:
        codec: The store's.
        history: Which events; "all" is not for this.
    """

    backend: ReadsParts
    codec: Codec
    history: History

    def load(self, key: SessionKey) -> Loaded | None:
        """Loads a session; returns None if it does not exist.

        Raises:
            CorruptRecordError: What is stored cannot be read.
        """
        if isinstance(self.history, int):
            return self._newest(key, self.history)
        return self._compacted(key)

    def _compacted(self, key: SessionKey) -> Loaded | None:
        read = self._read(key, "compacted", None)
        if read is None:
            return None
        upto = read.part.outline.upto if read.part.outline else 0
        added = read.since(upto)
        if any(map(is_rewind, added)) and not read.part.complete:
            # It may take back a summary, so that what this had replaced is needed again.
            read = self._read(key, None, None)
            if read is None:
                return None
        chosen = needed(read.events)
        if not any(is_summary(event) or is_rewind(event) for event in added):
            return read.loaded(chosen, None)
        positions = [read.positions[index] for index in chosen]
        outline = Outline.of(positions, read.part.end, read.part.long_running)
        return read.loaded(chosen, read.new_outline("compacted", outline))

    def _newest(self, key: SessionKey, wanted: int) -> Loaded | None:
        count = wanted + MORE
        while True:
            read = self._read(key, "waiting", count)
            if read is None:
                return None
            part = read.part
            if not part.complete and self._has_unseen(read):
                count = part.end - part.first
                continue
            earlier = sum(position < part.end - count for position in read.positions)
            found = newest(read.events, earlier, wanted, complete=part.complete)
            if found is None:
                count *= 4
                continue
            kept = tuple(ranges(read.positions[index] for index in found.waiting))
            outline = Outline(part.end, part.long_running, part.end, kept)
            stored = part.outline or Outline(0, 0, 0)
            changed = (stored.kept, stored.long_running) != (outline.kept, outline.long_running)
            return read.loaded(found.chosen, read.new_outline("waiting", outline) if changed else None)

    def _has_unseen(self, read: _Read) -> bool:
        """Whether calls that wait may not have been read, since the outline does not know them, or a rewind matters."""
        outline = read.part.outline or Outline(0, 0, 0)
        added = read.since(outline.upto)
        seen = sum(map(changes_waiting, added))
        return any(map(is_rewind, added)) or read.part.long_running > outline.long_running + seen

    def _read(self, key: SessionKey, name: OutlineName | None, recent: int | None) -> _Read | None:
        part = self.backend.read_part(key, name, recent)
        return None if part is None else _Read.of(part, self.codec)
