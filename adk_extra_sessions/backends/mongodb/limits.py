"""What one document may hold."""

from __future__ import annotations

from pymongo.errors import DocumentTooLarge

TAIL_EVENTS = 60
"""Events in a tail at most."""

TAIL_BYTES = 2 << 20
"""Bytes of event bodies in a tail at most."""

KEPT_EVENTS = 24
"""Newest events that stay in a tail when the others are moved to a chunk, if their size allows."""

BODY_BYTES = 256 << 10
"""Larger bodies get a document of their own, so that a tail stays small."""

AHEAD = 8
"""Newest events in chunks that a session's document remembers, so that they may be far in the future."""

DOCUMENT_BYTES = (16 << 20) - (64 << 10)
"""What one document takes: MongoDB's limit, less room for the fields around a body."""

STATE_BYTES = 15 << 20
"""What the app's or a user's state takes. The rest is for writers that take room at the moment when it is measured."""

INITIAL_STATE_BYTES = 1 << 20
"""A larger state at creation is not kept: the server rewrites it with every append, and it takes the state's room."""

PATHS = 200
"""Keys that one update sets one by one. The server's time grows with their square; a whole state is written at once."""

TOO_LARGE = (10334, 17419, 17420)
"""Codes of the server's errors for a document over its limit."""


def is_too_large(error: Exception) -> bool:
    """Whether the driver or the server refused a document over its limit."""
    return isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in TOO_LARGE
