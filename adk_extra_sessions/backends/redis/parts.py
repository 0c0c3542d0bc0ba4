"""Reading parts of a history by its outline, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adk_extra_sessions.backends.damaged import damage_named
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import Field, SessionKeys
from adk_extra_sessions.backends.redis.replies import Reply, SessionReply, fields, text
from adk_extra_sessions.backends.redis.scripts import Argument, Call
from adk_extra_sessions.history.outline import NewOutline, Outline, OutlineName, Part, Run
from adk_extra_sessions.records import SessionRecord


def part_call(names: Sequence[str], name: OutlineName | None, recent: int | None, ttl_ms: int) -> Call:
    """Returns the script call that reads a part of a history.

    Args:
        names: The keys that reading takes.
        name: The outline to read by; None for none.
        recent: How many of the newest events; None for those from the outline's start on.
        ttl_ms: How long the session stays from now on, at least; 0 to leave that as it is.
    """
    outline = f"{Field.outline}{name}" if name else ""
    return Call(scripts.READ_PART, names, [outline, "" if recent is None else recent, ttl_ms])


def part_of(reply: SessionReply, record: SessionRecord, name: OutlineName | None) -> Part:
    """Returns what `part_call` read.

    Args:
        reply: The script's reply.
        record: The session in it.
        name: The outline that it was read by.

    Raises:
        CorruptRecordError: What is stored cannot be read.
    """
    with damage_named(record.key):
        head = fields(reply.session)
        first = int(head[Field.first_position])
        runs = [Run(int(place), bodies) for place, bodies in zip(reply.events[::2], reply.events[1::2], strict=True)]
        return Part(
            record=record,
            start_revision=int(head[Field.start_revision]),
            runs=runs,
            first=first,
            end=first + int(head[Field.event_count]),
            long_running=int(head.get(Field.long_running, 0)),
            outline=_outline(head, name),
            newest=bytes.fromhex(text(reply.newest).split()[1]) if reply.newest else None,
        )


def outline_call(keys: SessionKeys, new: NewOutline) -> Call:
    """Returns the script call that stores an outline."""
    outline = new.outline
    kept = [f"{first}-{last}" for first, last in outline.kept]
    stored = " ".join([f"{outline.upto} {outline.long_running} {outline.start}", *kept])
    arguments: list[Argument] = [
        new.start_revision,
        outline.upto - 1,
        new.newest.hex(),
        f"{Field.outline}{new.name}",
        stored,
    ]
    return Call(scripts.STORE_OUTLINE, [keys.session, keys.events], arguments)


def _outline(head: Mapping[str, Reply], name: OutlineName | None) -> Outline | None:
    stored = head.get(f"{Field.outline}{name}")
    if name is None or stored is None:
        return None
    upto, long_running, start, *ranges = text(stored).split()
    kept = (one.split("-") for one in ranges)
    return Outline(int(upto), int(long_running), int(start), tuple((int(first), int(last)) for first, last in kept))
