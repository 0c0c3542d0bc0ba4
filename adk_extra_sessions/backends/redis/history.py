"""Reading a session's events by position, and none of another session that was created under its id meanwhile."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from pydantic_core import from_json

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.backends.redis.replies import Reply, StoredSession, checked
from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError

FIRST_PAGE = 64
"""Events read at once when looking back for a timestamp; each further page doubles."""


@frozen
class History:
    """The events of one session.

    Attributes:
        base: The revision it was created with, which no other session has.
    """

    client: Any
    keys: SessionKeys
    base: int

    def page(self, first: int, last: int) -> list[Reply]:
        """Reads the events from position `first` to `last`.

        Raises:
            SessionNotFoundError: The session has been deleted.
        """
        call = scripts.Call(scripts.PAGE, [self.keys.session, self.keys.events], [first, last])
        base, found = checked(scripts.run_many(self.client, [call])[0], self.keys.owner)
        if base is None or int(base) != self.base:
            raise SessionNotFoundError(f"{describe(self.keys.owner)} was deleted while it was read. Try again.")
        if len(found) != last - first + 1:
            raise CorruptRecordError(f"{describe(self.keys.owner)}: events {first} to {last} are not all there.")
        return list(found)


def older(
    client: Any, keys: SessionKeys, stored: StoredSession, bodies: list[Reply], wanted: int, after: float
) -> list[Reply]:
    """Reads back from the newest events as long as one at or after a time may still come.

    No event is further behind an earlier one than `stored.backstep`, but for
    those of `stored.ahead`, whose places are known. So the first one older than
    `after` minus that ends the search.

    Args:
        client: A redis-py client.
        keys: The session's keys.
        stored: The session.
        bodies: Its newest events.
        wanted: How many of its newest events are asked for.
        after: The time, in seconds since the epoch.

    Returns:
        The events before `bodies`, in order; not always all between the first and the last.

    Raises:
        SessionNotFoundError: The session has been deleted meanwhile.
    """
    history = History(client, keys, stored.base)
    enough = after - stored.backstep - 0.001
    found: list[Reply] = []
    page = FIRST_PAGE
    while len(found) + len(bodies) < wanted and from_json((found or bodies)[0])["timestamp"] >= enough:
        page *= 2
        last = stored.count - len(found) - len(bodies) - 1
        found = history.page(max(last - page + 1, stored.count - wanted), last) + found
    first = stored.count - len(found) - len(bodies)
    places = sorted(place for time, place in stored.ahead if time >= after and stored.count - wanted <= place < first)
    return [event for place in places for event in history.page(place, place)] + found
