"""A state value's JSON text, and back. Knows no database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json, to_jsonable_python

from adk_extra_sessions.errors import StateValueError
from adk_extra_sessions.json_form import NoJsonFormError, encoding, readable_json, without_json_form
from adk_extra_sessions.state import StateTexts, without_temp

logger = logging.getLogger(__name__)


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
    return StateTexts.of(encode_values(state, coerce=coerce))


def encode_values(state: Mapping[str, Any], *, coerce: bool = False) -> dict[str, str]:
    """Encodes every value but those of `temp:` keys.

    Args:
        state: Values by key with prefix.
        coerce: As for `encode_value`.

    Raises:
        StateValueError: A key or value has no JSON form.
    """
    for key in state:
        if not isinstance(key, str):
            raise StateValueError(key, f"a state key must be a string, not {type(key).__name__}")
    return {key: encode_value(key, value, coerce=coerce) for key, value in without_temp(state).items()}
