"""Redis replies to records: whatever the client's protocol and decoding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import field, frozen
from redis.exceptions import ResponseError

from adk_extra_sessions.backends.damaged import damage_named
from adk_extra_sessions.backends.redis.layout import TEXT_DETAILS, Field
from adk_extra_sessions.backends.redis.scripts import Argument
from adk_extra_sessions.backends.stored_format import FORMAT, check_format
from adk_extra_sessions.details import DEFAULT, NEVER, UNSET, Changes, Lifetime, SessionDetails
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.state_json import decode_value, joined_json

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
    created = repr(new.details.create_time)
    pairs: list[Argument] = [Field.format, FORMAT, Field.nonce, new.nonce, Field.create_time, created]
    pairs += [Field.start_revision, new.revision, Field.revision, new.revision, Field.last_update_time, created]
    pairs += [Field.first_position, 0, Field.event_count, 0, *details_pairs(new.details)]
    if ttl := own_ttl(new.details.lifetime):
        pairs += [Field.ttl, ttl]
    if new.state.session:
        pairs += [Field.initial_state, "null" if new.copied else joined_json(new.state.session)]
    return pairs


def details_pairs(details: SessionDetails | Changes) -> list[Argument]:
    """Returns the fields of a session's labels and of details that are texts, each followed by its value."""
    pairs: list[Argument] = []
    for name, field_name in TEXT_DETAILS.items():
        value = getattr(details, name, UNSET)
        if value is not UNSET and value is not None:
            pairs += [field_name, value]
    if details.labels is not UNSET:
        pairs += label_pairs(details.labels)
    return pairs


def label_pairs(labels: Mapping[str, str]) -> list[Argument]:
    """Returns the fields that hold labels, each followed by its value."""
    return [part for name, value in labels.items() for part in (f"{Field.label}{name}", value)]


def own_ttl(lifetime: Lifetime) -> str:
    """Returns a session's own time to live as it is stored; empty if it has none."""
    if lifetime.kind == "fixed":
        return f"until:{round(lifetime.expire_time * 1000)}"
    return "" if lifetime.kind == "default" else str(lifetime.ttl_ms)


def lifetime_of(stored: str) -> Lifetime:
    """Returns the lifetime that `own_ttl` made a text of."""
    if not stored:
        return DEFAULT
    kind, _, until = stored.rpartition(":")
    if kind:
        return Lifetime.until(int(until) / 1000)
    return Lifetime.sliding(int(stored)) if int(stored) else NEVER


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
    last_update_time: float
    state: Mapping[str, Any] = field(repr=False)
    pending: Sequence[PendingDelta]
    details: SessionDetails

    @classmethod
    def of(cls, reply: Mapping[Reply, Reply] | Sequence[Reply], expires_at: Any, key: SessionKey) -> StoredSession:
        """Reads a session's hash.

        Args:
            reply: The hash.
            expires_at: When it expires, in ms since the epoch; negative for never.
            key: The session, to name it in errors.

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
                float(found[Field.last_update_time]),
                values(found),
                pending_deltas(found, key),
                _details(found, int(expires_at)),
            )


def _details(found: Mapping[str, Reply], expires_at: int) -> SessionDetails:
    details = {name: text(found[one]) for name, one in TEXT_DETAILS.items() if one in found}
    labels = {name[len(Field.label) :]: text(one) for name, one in found.items() if name.startswith(Field.label)}
    lifetime = lifetime_of(text(found.get(Field.ttl, "")))
    return SessionDetails(
        **details,
        labels=labels,
        create_time=float(found[Field.create_time]),
        expire_time=lifetime.expire_time or (expires_at / 1000 if expires_at >= 0 else None),
        lifetime=lifetime,
    )


@frozen
class SessionReply:
    """The reply of read.lua and of read_part.lua, in its order.

    Attributes:
        session: The session's hash.
        events: The bodies of its events; of read_part.lua, for each run the position of its first event, and bodies.
        length: The length of the list of events.
        user: The hash of the user's state.
        app: That of the app's state.
        expires_at: When the session expires, in ms since the epoch; negative for never.
        newest: The header of the newest event; only of read_part.lua.
    """

    session: Any = field(repr=False)
    events: Any = field(repr=False)
    length: Any
    user: Any = field(repr=False)
    app: Any = field(repr=False)
    expires_at: Any
    newest: Reply | None = None


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
        return CorruptRecordError(f"{key} cannot be used: one of its keys has another type than expected.")
    return error


def texts(replies: Iterable[Reply]) -> list[str]:
    """Returns replies as texts."""
    return [text(reply) for reply in replies]
