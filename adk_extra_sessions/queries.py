"""Lists of sessions: what is asked of a backend, and a page of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import field, frozen

from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.records import SessionRecord

Cursor: TypeAlias = "tuple[str | int | float, ...]"
"""The place of a session in a list, by its values and not by its number; each backend has its own."""

Order: TypeAlias = Literal["storage", "update_time", "update_time desc"]
"""In what order sessions are listed: as is cheapest, by last_update_time ascending, or descending."""


def unknown_token() -> InputValidationError:
    """Returns the error for a page token that no list has returned."""
    return InputValidationError("page_token is not one that list_sessions has returned.")


def checked_cursor(after: Cursor, *types: type | tuple[type, ...]) -> Cursor:
    """Returns a cursor if it consists of values of these types.

    Raises:
        InputValidationError: It is made up.
    """
    if len(after) == len(types) and all(map(isinstance, after, types)):
        return after
    raise unknown_token()


@frozen
class SessionQuery:
    """Which sessions to list, and from where on.

    Attributes:
        user_id: The user's id; None for the sessions of all users.
        labels: Only sessions that have all of these.
        order: "storage" whenever `user_id` is None: each user's sessions
            together, and none left out that is there all the time. In the
            others, sessions of the same time follow each other by id.
        size: How many to return at most; positive.
        after: `RecordPage.next` of the page before; None for the first page.
        with_state: False: the records' `state` and `shared` may be empty.
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
        records: The sessions; may be fewer than asked for, even none, also when more follow.
        next: What `SessionQuery.after` must be for the next page; None after the last one.
    """

    records: Sequence[SessionRecord]
    next: Cursor | None = None
