"""State in BSON: native where BSON holds a value exactly, JSON text where it does not.

Native state can be queried and indexed: `db.sessions.find({"state.plan": "gold"})`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adk_extra_sessions.state_json import decode_value

WRAPPER = "_json"
"""The only key of a sub-document that holds a value as a JSON text."""

_SAME = {str, float, bool, type(None)}

DEEPEST = 50
"""Nesting up to which values are kept native; BSON ends at 100 levels in all."""


def field_name(key: str) -> str:
    """Escapes a state key for use as a field's name, reversibly.

    Only `.`, `$`, NUL and `%` change, to their percent-encoding; the empty key is "%".
    """
    return re.sub(r"[.$%\0]", lambda found: f"%{ord(found[0]):02X}", key) or "%"


def state_key(name: str) -> str:
    """Returns the state key that `field_name` escaped."""
    if name == "%":
        return ""
    return re.sub(r"%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), name)


def stored_value(text: str) -> Any:
    """Returns what is stored for a state value's JSON text."""
    value = decode_value(text)
    if _is_exact(value, DEEPEST) and not (isinstance(value, dict) and value.keys() == {WRAPPER}):
        return value
    return {WRAPPER: text}


def stored_state(texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns state as a document: escaped names, stored values."""
    return {field_name(key): stored_value(text) for key, text in texts.items()}


def state_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the state that `stored_state` made a document of.

    Raises:
        ValueError: A JSON text in it cannot be read.
    """
    return {
        (state_key(name) if "%" in name else name): (value if type(value) in _SAME else _loaded(value))
        for name, value in document.items()
    }


def _loaded(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {WRAPPER}:
        if not isinstance(value[WRAPPER], str):
            raise ValueError("no JSON text")
        return decode_value(value[WRAPPER])
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # The driver reads 64-bit integers as a subclass of int.
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_exact(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(
            name and not name.startswith("$") and "." not in name and "\0" not in name and _is_exact(item, depth - 1)
            for name, item in value.items()
        )
    if isinstance(value, list):
        return depth > 0 and all(_is_exact(item, depth - 1) for item in value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return True
