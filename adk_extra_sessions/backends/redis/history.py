"""Reading a session's events by position, but none of another session that was created with its id meanwhile."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import SessionKeys
from adk_extra_sessions.backends.redis.replies import Reply, checked
from adk_extra_sessions.errors import CorruptRecordError, SessionNotFoundError


@frozen
class History:
    """The events of one session.

    Attributes:
        start_revision: The revision at its creation, which no other session has.
    """

    client: Any
    keys: SessionKeys
    start_revision: int

    def page(self, first: int, last: int) -> list[Reply]:
        """Reads the events from position `first` to `last`, or those of them that have not been removed.

        Raises:
            SessionNotFoundError: The session has been deleted.
        """
        call = scripts.Call(scripts.EVENTS_PAGE, [self.keys.session, self.keys.events], [first, last])
        revision, kept, bodies = checked(scripts.run_many(self.client, [call])[0], self.keys.owner)
        if revision is None or int(revision) != self.start_revision:
            raise SessionNotFoundError(f"{self.keys.owner} was deleted while it was read. Try again.")
        if len(bodies) != max(last - max(first, int(kept)) + 1, 0):
            raise CorruptRecordError(f"{self.keys.owner}: some of the events {first} to {last} are missing.")
        return list(bodies)
