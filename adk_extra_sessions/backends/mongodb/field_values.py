"""What the fields of stored documents must hold: each function returns a value in its type, or raises ValueError."""

from __future__ import annotations

from datetime import datetime, timezone

from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.state import PREFIXES


def utc(date: object) -> datetime:
    """Returns a date as the store compares it, in UTC and without a zone."""
    if not isinstance(date, datetime):
        raise ValueError("no date")
    return date if date.tzinfo is None else date.astimezone(timezone.utc).replace(tzinfo=None)


def to_integer(value: object) -> int:
    """Returns a whole number; mongosh writes such as floats."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (isinstance(value, float) and value % 1):
        raise ValueError("no integer")
    return int(value)


def to_number(value: object) -> float:
    """Returns a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no number")
    return float(value)


def to_text(value: object) -> str:
    """Returns a text."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def to_labels(value: object) -> dict[str, str]:
    """Returns texts by name."""
    if not isinstance(value, dict):
        raise ValueError("no labels")
    return {name: to_text(text) for name, text in value.items()}


def to_events(value: object) -> list[Document]:
    """Returns events; their bodies may be missing."""
    return _each(value, digest=bytes, timestamp=(int, float))


def to_deltas(value: object) -> list[Document]:
    """Returns pending changes of shared state."""
    deltas = _each(value, id=str)
    for one in deltas:
        _each([one[scope] for scope in PREFIXES if scope in one], ticket=int, state=dict, birth=str)
    return deltas


def _each(value: object, **needed: type | tuple[type, ...]) -> list[Document]:
    """Returns a list of sub-documents that have all of some fields, each of its type."""
    if not isinstance(value, list):
        raise ValueError("no list")
    for one in value:
        if not isinstance(one, dict) or not all(isinstance(one.get(name), kind) for name, kind in needed.items()):
            raise ValueError("no such sub-document")
    return value
