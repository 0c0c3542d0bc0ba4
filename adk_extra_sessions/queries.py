"""Lists of sessions: what is asked of a backend, and a page of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import field, frozen

from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.records import SessionRecord

Cursor: TypeAlias = "tuple[str | int | float, ...]"
"""A place in a list: values of the session there, such as its time and id. Each backend has its own form."""

Order: TypeAlias = Literal["storage", "update_time", "update_time desc"]
"""The order of a list: the one that costs least, or by `last_update_time`, ascending or descending."""


def unknown_token() -> InputValidationError:
    """Returns the error for a page token that no list has returned."""
    return InputValidationError("page_token was not returned by list_sessions.")


def checked_cursor(after: Cursor, *types: type | tuple[type, ...]) -> Cursor:
    """Returns a cursor if it consists of values of these types.

    Raises:
        InputValidationError: It does not.
    """
    if len(after) == len(types) and all(map(isinstance, after, types)):
        return after
    raise unknown_token()


@frozen
class SessionQuery:
    """Which sessions to list.

    Attributes:
        user_id: The user's id; None for the sessions of all users.
        labels: Only sessions that have all of these.
        order: "storage" has each user's sessions together, and misses none that exists all the
            time; without a `user_id` it is the only order. The others sort sessions of the same
            time by id.
        size: How many to return at most; positive.
        after: `RecordPage.next` of the page before; None for the first page.
        with_state: Whether to read state too; otherwise the records' `state` and `shared` may be empty.
    """

    app_name: str
    user_id: str | None = None
    labels: Mapping[str, str] = field(factory=dict, repr=False)
    order: Order = "storage"
    size: int = 100
    after: Cursor | None = None
    with_state: bool = True


@frozen
class RecordPage:
    """A page of sessions, without events.

    Attributes:
        records: The sessions. There may be fewer than `size`, even none, although more follow.
        next: What `SessionQuery.after` must be for the next page; None after the last one.
    """

    records: Sequence[SessionRecord]
    next: Cursor | None = None
