"""Page tokens: where a list goes on, as a text that is good for the same query only."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.queries import Cursor, SessionQuery

CHECKSUM_BYTES = 6


def page_token(query: SessionQuery, cursor: Cursor) -> str:
    """Makes the token of the page that begins after `cursor`."""
    body = json.dumps([_digest(_question(query)).hex(), *cursor], separators=(",", ":")).encode()
    return urlsafe_b64encode(_digest(body) + body).rstrip(b"=").decode()


def cursor_of(token: object, query: SessionQuery) -> Cursor:
    """Returns where the page of a token begins.

    Args:
        token: Anything a caller passed.
        query: What the caller asks for with it; its `size` and `after` do not count.

    Raises:
        InputValidationError: `token` is not one of ours, was changed, or is that of another query.
    """
    if not isinstance(token, str):
        raise InputValidationError(f"page_token must be a string, not {type(token).__name__}.")
    try:
        decoded = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        checksum, body = decoded[:CHECKSUM_BYTES], decoded[CHECKSUM_BYTES:]
        if checksum != _digest(body):
            raise ValueError
        asked, *cursor = json.loads(body)
    except (ValueError, RecursionError):
        raise InputValidationError("page_token is not one that list_sessions has returned.") from None
    if asked != _digest(_question(query)).hex():
        raise InputValidationError(
            "page_token is that of another query: all pages need the same app_name, user_id, order_by and labels."
        )
    return tuple(cursor)


def _question(query: SessionQuery) -> bytes:
    return json.dumps([query.app_name, query.user_id, sorted(query.labels.items()), query.order]).encode()


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=CHECKSUM_BYTES).digest()
