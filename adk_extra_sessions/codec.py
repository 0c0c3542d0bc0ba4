"""Event to stored text and back, state value to JSON text and back. Knows no database.

Stored text is the event's own JSON (pydantic's, without None), read
back by `Event.model_validate_json`. Two things pydantic's default form loses
are kept: NaN and infinities (it writes null), and a state delta that differs
from what is stored as state.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.adk.events import Event
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from adk_extra_sessions.errors import CorruptRecordError, EventValueError, InputValidationError, StateValueError
from adk_extra_sessions.history.calls import long_running_ids
from adk_extra_sessions.json_form import (
    LONG,
    SAME_IN_JSON,
    NoJsonFormError,
    encoding,
    readable_json,
    restore_non_finite,
    without_json_form,
)
from adk_extra_sessions.records import EventRecord, SessionKey, StateTexts
from adk_extra_sessions.state import split, without_temp

logger = logging.getLogger(__name__)

FORMAT = 2
"""Version of the stored form; a record with another one is refused. Format 1 was never released."""

# What has fewer brackets does not meet the JSON reader's limit of 200 levels.
_DEEP = 190

_events = TypeAdapter(list[Event])


def check_format(version: object, key: SessionKey) -> None:
    """Refuses a record that another version of this package wrote, or something else.

    Raises:
        CorruptRecordError: `version` is not `FORMAT`.
    """
    if str(version) != str(FORMAT):
        raise CorruptRecordError(
            f"{describe(key)} is foreign, or was stored by another version of adk-extra-sessions:"
            f" this one reads and writes format {FORMAT} of what is stored."
        )


def describe(key: SessionKey) -> str:
    """Names a session in an error's message, or what a user's sessions share where the key has no session id."""
    if not key.session_id:
        return f"What the sessions of user {key.user_id!r} in app {key.app_name!r} share"
    return f"Session {key.session_id!r} of user {key.user_id!r} in app {key.app_name!r}"


def encode_value(key: str, value: object, *, coerce: bool = False) -> str:
    """Returns the JSON text of a state value.

    What pydantic can turn into JSON (models, datetimes, sets, UTF-8 bytes) is
    stored in that form, as ADK's own services do.

    Args:
        key: The state key with its prefix, for errors.
        value: Any value.
        coerce: Store the string form of what has no JSON form, and warn.

    Raises:
        StateValueError: `value` or `key` has no JSON form and `coerce` is off,
            or the value has no string form either.
    """
    try:
        key.encode()
    except UnicodeEncodeError:
        raise StateValueError(key, "a state key must be Unicode text, without lone surrogates") from None
    try:
        return readable_json(value)
    except NoJsonFormError:
        path, reason = without_json_form(value)
    where = f"{key}{path}" if path else ""
    if not coerce:
        raise StateValueError(key, reason, where)
    logger.warning("State key %r%s: %s; its string form is stored.", key, f", at {where}" if where else "", reason)
    try:
        return _coerced_json(value)
    except NoJsonFormError:
        raise StateValueError(key, f"{reason}, and no string form", where) from None


@encoding
def _coerced_json(value: object) -> str:
    try:
        return readable_json(to_jsonable_python(value, serialize_unknown=True))
    except Exception:
        return readable_json(str(value).encode("utf-8", "backslashreplace").decode())


def decode_value(text: bytes | str) -> Any:
    """Returns the value of a JSON text made by `encode_value`."""
    return from_json(text)


def joined_json(texts: Mapping[str, str]) -> str:
    """Returns a JSON object with these names and these JSON texts as values."""
    return "{" + ",".join(f"{to_json(name).decode()}:{text}" for name, text in texts.items()) + "}"


def encode_state(state: Mapping[str, Any], *, coerce: bool = False) -> StateTexts:
    """Encodes every value but those of `temp:` keys, and sorts them by scope.

    Raises:
        StateValueError: A key or value has no JSON form.
    """
    return _by_scope(_texts(state, coerce=coerce))


def _texts(state: Mapping[str, Any], *, coerce: bool) -> dict[str, str]:
    for key in state:
        if not isinstance(key, str):
            raise StateValueError(key, f"a state key must be a string, not {type(key).__name__}")
    return {key: encode_value(key, value, coerce=coerce) for key, value in without_temp(state).items()}


def _by_scope(texts: Mapping[str, str]) -> StateTexts:
    scoped = split(texts)
    return StateTexts(scoped.session, scoped.user, scoped.app)


def encode_event(event: Event, *, coerce: bool = False) -> EventRecord:
    """Returns the stored form of an event; the event itself is left as it is.

    Args:
        event: A complete event.
        coerce: As for `encode_value`.

    Raises:
        StateValueError: A value of its state delta has no JSON form.
        EventValueError: Anything else in it has none.
        InputValidationError: Its timestamp is not a finite number.
    """
    time = event.timestamp
    if type(time) not in (float, int) or not math.isfinite(time) or abs(time) > 1e15:
        raise InputValidationError("An event's timestamp must be a finite number of seconds.")
    try:
        delta = event.actions.state_delta
        texts = _texts(delta, coerce=coerce)
    except (AttributeError, TypeError) as error:
        if isinstance(error, StateValueError):
            raise
        raise EventValueError(f"Event {event.id!r} has no state delta. Nothing was written.") from None
    stored = event
    if len(texts) != len(delta) or not all(type(value) in SAME_IN_JSON for value in delta.values()):
        # The delta as stored in state, so that history and state never differ.
        plain = {key: from_json(text) for key, text in texts.items()}
        stored = event.model_copy(update={"actions": event.actions.model_copy(update={"state_delta": plain})})
    try:
        body = _body(stored)
    except NoJsonFormError:
        raise EventValueError(
            f"Event {event.id!r} has no JSON form that can be read back. Nothing was written."
        ) from None
    waits = bool(long_running_ids(event))
    return EventRecord(event.id, float(time), event.author, event.invocation_id, body, _by_scope(texts), waits)


@encoding
def _body(event: Event) -> bytes:
    # Only authentication configs have optional fields whose default is not
    # None; without them, leaving None out loses nothing.
    exclude_none = not event.actions.requested_auth_configs
    body = _dumped(event, exclude_none)
    if b"null" in body:
        tree = from_json(body)
        raw = event.model_dump(mode="python", exclude_none=exclude_none, warnings=False)
        if restore_non_finite(tree, raw):
            body = to_json(tree, inf_nan_mode="constants")
    elif len(body) >= LONG or body.count(b"[") + body.count(b"{") >= _DEEP:
        from_json(body)
    return body


def _dumped(event: Event, exclude_none: bool) -> bytes:
    try:
        return event.model_dump_json(exclude_none=exclude_none, warnings="error").encode()
    except PydanticSerializationError:
        # A field was given a value of another type than it has. That may still
        # be read back (a text for an enum), or make the whole session unreadable.
        body = event.model_dump_json(exclude_none=exclude_none, warnings=False).encode()
        Event.model_validate_json(body)
        return body


def decode_events(bodies: Sequence[bytes | str], key: SessionKey, first: int = 0) -> list[Event]:
    """Reads stored events back.

    Args:
        bodies: Texts made by `encode_event`, oldest first.
        key: The session they belong to, for errors.
        first: Position of the first of them in the full history.

    Raises:
        CorruptRecordError: One of them cannot be read; names its position.
    """
    raw = [body.encode() if isinstance(body, str) else body for body in bodies]
    try:
        events = _events.validate_json(b"[" + b",".join(raw) + b"]")
        if len(events) == len(raw):
            return events
    except ValueError:
        pass
    return [_decode_event(body, key, first + index) for index, body in enumerate(raw)]


def _decode_event(body: bytes, key: SessionKey, position: int) -> Event:
    try:
        return Event.model_validate_json(body)
    except ValueError:
        pass  # pydantic's error shows the value: ours must not have it as its context
    raise CorruptRecordError(f"{describe(key)}: the event at position {position} cannot be read.")
