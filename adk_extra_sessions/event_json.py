"""An event's JSON text, and back. Knows no database.

The text is pydantic's, without None, read back by `Event.model_validate_json`.
Two things that pydantic's default form loses are kept: NaN and infinities (it
writes null), and a state delta that differs from what is stored as state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import field, frozen
from google.adk.events import Event
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, from_json, to_json

from adk_extra_sessions.errors import CorruptRecordError, EventValueError, InputValidationError, StateValueError
from adk_extra_sessions.json_form import (
    LONG,
    SAME_IN_JSON,
    NoJsonFormError,
    encoding,
    raise_interrupt,
    restore_non_finite,
)
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state_json import encode_values

# What has fewer brackets does not meet the JSON reader's limit of 200 levels.
_DEEP = 190

_events = TypeAdapter(list[Event])


@frozen
class EventJson:
    """An event as JSON.

    Attributes:
        text: The whole event.
        delta: The JSON text of each value of its state delta, by key with prefix; no `temp:` keys.
    """

    text: bytes = field(repr=False)
    delta: Mapping[str, str] = field(repr=False)


def encode_event(event: Event, *, coerce: bool = False) -> EventJson:
    """Returns the JSON of an event; the event itself is left as it is.

    Args:
        event: A complete event.
        coerce: As for `state_json.encode_value`.

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
        texts = encode_values(delta, coerce=coerce)
    except (AttributeError, TypeError) as error:
        if isinstance(error, StateValueError):
            raise
        raise EventValueError(f"Event {event.id!r} has no valid state delta. Nothing was written.") from None
    stored = event
    if len(texts) != len(delta) or not all(type(value) in SAME_IN_JSON for value in delta.values()):
        # The delta as stored in state, so that history and state never differ.
        plain = {key: from_json(text) for key, text in texts.items()}
        stored = event.model_copy(update={"actions": event.actions.model_copy(update={"state_delta": plain})})
    try:
        return EventJson(_text(stored), texts)
    except NoJsonFormError:
        raise EventValueError(
            f"Event {event.id!r} has no JSON form that can be read back. Nothing was written."
        ) from None


@encoding
def _text(event: Event) -> bytes:
    # Only authentication configs have optional fields whose default is not
    # None; without them, leaving None out loses nothing.
    exclude_none = not event.actions.requested_auth_configs
    text = _dumped(event, exclude_none)
    if b"null" in text:
        tree = from_json(text)
        raw = event.model_dump(mode="python", exclude_none=exclude_none, warnings=False)
        if restore_non_finite(tree, raw):
            text = to_json(tree, inf_nan_mode="constants")
    elif len(text) >= LONG or text.count(b"[") + text.count(b"{") >= _DEEP:
        from_json(text)
    return text


def _dumped(event: Event, exclude_none: bool) -> bytes:
    try:
        return event.model_dump_json(exclude_none=exclude_none, warnings="error").encode()
    except PydanticSerializationError as error:
        raise_interrupt(error)
        # A field was given a value of another type than it has. That may still
        # be read back (a text for an enum), or make the whole session unreadable.
        text = event.model_dump_json(exclude_none=exclude_none, warnings=False).encode()
        Event.model_validate_json(text)
        return text


def decode_events(texts: Sequence[bytes], key: SessionKey, first: int = 0) -> list[Event]:
    """Reads events from their JSON texts.

    Args:
        texts: Those made by `encode_event`, oldest first.
        key: The session they belong to, for errors.
        first: Position of the first of them in the full history.

    Raises:
        CorruptRecordError: One of them cannot be read; names its position.
    """
    try:
        events = _events.validate_json(b"[" + b",".join(texts) + b"]")
        if len(events) == len(texts):
            return events
    except ValueError:
        pass
    return [_decode_event(text, key, first + index) for index, text in enumerate(texts)]


def _decode_event(text: bytes, key: SessionKey, position: int) -> Event:
    try:
        return Event.model_validate_json(text)
    except ValueError:
        pass  # pydantic's error shows the value: ours must not have it as its context
    raise unreadable(key, position)


def unreadable(key: SessionKey, position: int) -> CorruptRecordError:
    """Returns the error for an event that is stored but cannot be read."""
    return CorruptRecordError(f"{key}: the event at position {position} cannot be read.")
