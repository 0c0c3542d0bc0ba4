"""Page tokens: the place where a list continues, as a text that is valid only for the same query."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from attrs import asdict

from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.queries import Cursor, SessionQuery, unknown_token

CHECKSUM_BYTES = 6

DIFFERS_BY_PAGE = ("after", "size")
"""The fields of a `SessionQuery` that may differ from page to page."""


def page_token(query: SessionQuery, cursor: Cursor) -> str:
    """Makes the token of the page that begins after `cursor`."""
    body = json.dumps([_digest(_question(query)).hex(), *cursor], separators=(",", ":")).encode()
    return urlsafe_b64encode(_digest(body) + body).rstrip(b"=").decode()


def cursor_of(token: object, query: SessionQuery) -> Cursor:
    """Returns where the page of a token begins.

    Args:
        token: Anything a caller passed.
        query: The query of the page.

    Raises:
        InputValidationError: `token` was not returned by a list, was changed, or belongs to another query.
    """
    if not isinstance(token, str):
        raise InputValidationError(f"page_token must be a string, not {type(token).__name__}.")
    try:
        decoded = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        checksum, body = decoded[:CHECKSUM_BYTES], decoded[CHECKSUM_BYTES:]
        if checksum != _digest(body):
            raise ValueError
        asked, *cursor = json.loads(body)
    except (TypeError, ValueError, RecursionError):
        raise unknown_token() from None
    if asked != _digest(_question(query)).hex():
        raise InputValidationError(
            "page_token belongs to another query: all pages need the same app_name, user_id, order_by and labels."
        )
    return tuple(cursor)


def _question(query: SessionQuery) -> bytes:
    """Returns all of a query that its pages have in common."""
    asked = {name: value for name, value in asdict(query).items() if name not in DIFFERS_BY_PAGE}
    return json.dumps(asked, sort_keys=True).encode()


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=CHECKSUM_BYTES).digest()
