"""State in documents, parsed where it is read: what is damaged or foreign is found here."""

from __future__ import annotations

from typing import Any

from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.parsing import damaged
from adk_extra_sessions.backends.mongodb.values import state_of
from adk_extra_sessions.records import SessionKey


def mapping(document: Document | None, name: str, key: SessionKey) -> Document:
    """Returns a sub-document; an empty one if it is missing.

    Raises:
        CorruptRecordError: It is something else.
    """
    value: Any = (document or {}).get(name, {})
    if not isinstance(value, dict):
        raise damaged(key)
    return value


def tickets_in(document: Document | None, key: SessionKey) -> dict[str, int]:
    """Returns the tickets of a state document, by key.

    Raises:
        CorruptRecordError: They are something else.
    """
    tickets = mapping(document, "tickets", key)
    if not all(isinstance(ticket, int) for ticket in tickets.values()):
        raise damaged(key)
    return tickets


def state_in(document: Document | None, key: SessionKey) -> dict[str, Any]:
    """Returns the state that a document holds, raw key to value.

    Raises:
        CorruptRecordError: It cannot be read.
    """
    return read_state(mapping(document, "state", key), key)


def read_state(stored: Document, key: SessionKey) -> dict[str, Any]:
    """Returns stored state, raw key to value.

    Raises:
        CorruptRecordError: It cannot be read.
    """
    try:
        return state_of(stored)
    except ValueError:
        raise damaged(key) from None
