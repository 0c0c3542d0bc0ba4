"""Redis replies to records: whatever the client's protocol and decoding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import field, frozen
from redis.exceptions import ResponseError

from adk_extra_sessions.backends.damaged import damage_named
from adk_extra_sessions.backends.redis.layout import Field
from adk_extra_sessions.backends.redis.scripts import Argument
from adk_extra_sessions.codec import FORMAT, check_format, decode_value, describe, joined_json
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import NewSession, SessionKey

Reply: TypeAlias = bytes | str


def text(reply: Reply) -> str:
    """Returns a reply as text, also from a client that does not decode."""
    return reply.decode() if isinstance(reply, bytes) else reply


def fields(reply: Mapping[Reply, Reply] | Sequence[Reply]) -> dict[str, Reply]:
    """Returns a hash as a dictionary, also where it came as a flat array."""
    if isinstance(reply, Mapping):
        return {text(name): value for name, value in reply.items()}
    return {text(name): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def values(hash_fields: Mapping[str, Reply]) -> dict[str, Any]:
    """Returns the state values among a hash's fields."""
    return {
        name[len(Field.state) :]: decode_value(value)
        for name, value in hash_fields.items()
        if name.startswith(Field.state)
    }


def state_pairs(texts: Mapping[str, str]) -> list[Argument]:
    """Returns the fields that hold state, each followed by its value."""
    return [part for name, value in texts.items() for part in (f"{Field.state}{name}", value)]


def new_session_pairs(new: NewSession) -> list[Argument]:
    """Returns the fields of a new session's hash, its state left aside, each followed by its value."""
    created = repr(new.created)
    pairs: list[Argument] = [Field.format, FORMAT, Field.nonce, new.nonce, Field.create_time, created]
    pairs += [Field.start_revision, new.revision, Field.revision, new.revision, Field.update_time, created]
    pairs += [Field.first_position, 0, Field.event_count, 0]
    if new.state.session:
        pairs += [Field.initial_state, joined_json(new.state.session)]
    return pairs


@frozen
class PendingDelta:
    """An app delta that a session holds until it has been applied (Redis Cluster).

    Attributes:
        id: What it is known by.
        ticket: Its place in the order of all changes of the app's state.
        texts: Raw key to JSON text.
    """

    id: str
    ticket: int
    texts: Mapping[str, str] = field(repr=False)


@frozen
class StoredSession:
    """A session's hash; see `Field`."""

    revision: int
    start_revision: int
    first_position: int
    event_count: int
    update_time: float
    state: Mapping[str, Any] = field(repr=False)
    pending: Sequence[PendingDelta] = field(factory=tuple)

    @classmethod
    def of(cls, reply: Mapping[Reply, Reply] | Sequence[Reply], key: SessionKey) -> StoredSession:
        """Reads a session's hash.

        Raises:
            CorruptRecordError: It was not written by this package, or only in part.
        """
        with damage_named(key):
            found = fields(reply)
            check_format(text(found.get(Field.format, "")), key)
            return cls(
                int(found[Field.revision]),
                int(found[Field.start_revision]),
                int(found[Field.first_position]),
                int(found[Field.event_count]),
                float(found[Field.update_time]),
                values(found),
                pending_deltas(found, key),
            )


@contextmanager
def foreign_type_named(key: SessionKey) -> Iterator[None]:
    """Turns the server's error about a key of a foreign type into `CorruptRecordError`."""
    try:
        yield
    except ResponseError as error:
        raise _named(error, key) from None


def state_of(reply: Any, key: SessionKey) -> dict[str, Any]:
    """Returns the state in the reply to an HGETALL, or raises the error that came in its place.

    Raises:
        CorruptRecordError: The hash cannot be read.
    """
    found = checked(reply, key)
    with damage_named(key):
        return values(fields(found))


def pending_deltas(found: Mapping[str, Reply], key: SessionKey) -> list[PendingDelta]:
    """Reads all that the fields of a session's hash hold for the app's state.

    Raises:
        CorruptRecordError: One of them cannot be read.
    """
    return [pending_delta(name, value, key) for name, value in found.items() if name.startswith(Field.pending)]


def pending_delta(name: str, value: Reply, key: SessionKey) -> PendingDelta:
    """Reads the record of an app delta from a session's field.

    Raises:
        CorruptRecordError: It cannot be read.
    """
    with damage_named(key):
        recorded = decode_value(value)
        return PendingDelta(name[len(Field.pending) :], int(recorded["ticket"]), recorded["state"])


def checked(reply: Any, key: SessionKey) -> Any:
    """Returns a script's reply, or raises the error that came in its place.

    Raises:
        CorruptRecordError: One of the session's keys holds something else.
    """
    if isinstance(reply, Exception):
        raise _named(reply, key) from None
    return reply


def _named(error: Exception, key: SessionKey) -> Exception:
    if "WRONGTYPE" in str(error):
        return CorruptRecordError(f"{describe(key)} cannot be used: one of its keys is of a foreign type.")
    return error


def texts(replies: Iterable[Reply]) -> list[str]:
    """Returns replies as texts."""
    return [text(reply) for reply in replies]
