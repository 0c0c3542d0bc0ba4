"""The codec of a store: turns events and state into what is stored, and back.

Every event passes here on its way between the rules and a backend, which looks
into no body. So a subclass can compress or encrypt bodies: it overrides `seal`
and `open`, and `digest`, since whoever reads a digest can test guesses of the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from attrs import frozen
from google.adk.events import Event

from adk_extra_sessions import event_json, state_json
from adk_extra_sessions.history.calls import changes_waiting
from adk_extra_sessions.records import EventRecord, SessionKey
from adk_extra_sessions.state import StateTexts


@frozen
class Codec:
    """Turns events and state into what is stored, and back.

    Attributes:
        coerce: Whether the string form of a state value that has no JSON form
            is stored, with a warning; otherwise such a value is an error.
    """

    coerce: bool = False

    def encode(self, event: Event) -> EventRecord:
        """Returns what is stored of an event; the event itself is left as it is.

        Args:
            event: A complete event.

        Raises:
            StateValueError: A value of its state delta has no JSON form.
            EventValueError: Anything else in it has none.
            InputValidationError: Its timestamp is not a finite number.
        """
        encoded = event_json.encode_event(event, coerce=self.coerce)
        return EventRecord(
            self.digest(encoded.text),
            float(event.timestamp),
            self.seal(encoded.text),
            StateTexts.of(encoded.delta),
            changes_waiting(event),
        )

    def decode(self, bodies: Sequence[bytes | str], key: SessionKey, first: int = 0) -> list[Event]:
        """Reads stored events back.

        Args:
            bodies: Those of records made by `encode`, oldest first.
            key: The session they belong to, for errors.
            first: Position of the first of them in the full history.

        Raises:
            CorruptRecordError: One of them cannot be read; names its position.
        """
        return event_json.decode_events(self._texts(bodies, key, first), key, first)

    def _texts(self, bodies: Sequence[bytes | str], key: SessionKey, first: int) -> list[bytes]:
        texts: list[bytes] = []
        for body in bodies:
            try:
                texts.append(self.open(body.encode() if isinstance(body, str) else body))
            except ValueError:
                raise event_json.unreadable(key, first + len(texts)) from None
        return texts

    def encode_state(self, state: Mapping[str, Any]) -> StateTexts:
        """Returns what is stored of state values, by scope; nothing of `temp:` keys.

        Args:
            state: Values by key with prefix.

        Raises:
            StateValueError: A key or value has no JSON form.
        """
        return state_json.encode_state(state, coerce=self.coerce)

    def digest(self, text: bytes) -> bytes:
        """Returns the 12 bytes by which an event is recognised when it is appended again.

        Args:
            text: The event's JSON text, so that it does not matter how `seal` stores it.
        """
        return blake2b(text, digest_size=12).digest()

    def seal(self, text: bytes) -> bytes:
        """Returns the body to store for an event's JSON text: here the text itself."""
        return text

    def open(self, body: bytes) -> bytes:
        """Returns the JSON text of a stored body.

        Raises:
            ValueError: It is not one that `seal` returned, or the key is another one.
        """
        return body
