"""The indexes of an app's users: entered before their first session, removed after their last one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from redis.exceptions import RedisError

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, UserKeys, decoded, encoded
from adk_extra_sessions.backends.redis.reading import scan_index
from adk_extra_sessions.backends.redis.replies import checked, foreign_type_named, text
from adk_extra_sessions.records import SessionKey

logger = logging.getLogger(__name__)

GONE = -2
"""What Redis's PTTL says of a key that does not exist."""


@frozen
class UserIndex:
    """Which users of an app have sessions, and until when.

    A user's sessions may be in another slot of a Redis Cluster than these indexes.
    So a user may be in them without a session, but never the other way round.
    """

    client: Any
    prefix: str
    app_name: str

    def enter(self, user_id: str, ttl: str) -> None:
        """Enters a user before a session is created by another call; `ttl` as create.lua takes it."""
        call = scripts.Call(scripts.ENTER, self._keys, [ttl, encoded(user_id)])
        owner = SessionKey(self.app_name, user_id, "")
        self.look_after_overdue(checked(scripts.run_many(self.client, [call])[0], owner))

    def enter_again(self, user_id: str) -> None:
        """Enters a user after a session was created, if an erasure has removed the entry but not the session."""
        if self.client.zscore(self._keys[1], encoded(user_id)) is None:
            self.update(user_id)

    def update(self, user_id: str) -> None:
        """Removes a user who has no sessions, and enters one who has, also if others create or erase meanwhile."""
        index = UserKeys.of(self.prefix, self.app_name, user_id).index
        left = self.client.pttl(index)
        while True:
            if left == GONE:
                for key in self._keys:
                    self.client.zrem(key, encoded(user_id))
            else:
                self.enter(user_id, str(max(left, 0)))
            before, left = left, self.client.pttl(index)
            if (before == GONE) == (left == GONE):
                return

    def pages(self, page_size: int) -> Iterator[Mapping[str, float]]:
        """Yields the users, and the time of each as the index has it; one may come twice."""
        cursor: int | None = None
        while cursor != 0:
            with foreign_type_named(SessionKey(self.app_name, "", "")):
                cursor, found = scan_index(self.client, self._keys[0], cursor or 0, page_size)
            yield {decoded(user): float(time) for user, time in found}

    def look_after_overdue(self, overdue: Sequence[Any]) -> None:
        """Removes users who have no sessions any more, and renews the time of others.

        Args:
            overdue: Users and their times in the index, as scripts return them.
        """
        users = dict(zip(map(decoded, overdue[::2]), map(text, overdue[1::2]), strict=True))
        if users:
            self._look_after(users)

    def look_after_gone(self, user_id: str) -> None:
        """Removes a user, at once or soon, after the last session was deleted by another call."""
        self._look_after({user_id: ""})

    def remove(self, times: Mapping[str, float]) -> None:
        """Removes users, at once or soon, of whom no sessions were found after their times had been read."""
        self._run([part for user, time in times.items() for part in (encoded(user), repr(time), GONE)])

    def _look_after(self, users: Mapping[str, str]) -> None:
        try:
            pipeline = self.client.pipeline(transaction=False)
            for user in users:
                pipeline.pttl(UserKeys.of(self.prefix, self.app_name, user).index)
            left = pipeline.execute()
        except RedisError as error:
            logger.debug("Users without sessions stay in an index: %s", type(error).__name__)
            return
        parts = zip(users.items(), left, strict=True)
        self._run([part for (user, time), ms in parts for part in (encoded(user), time, ms)])

    def _run(self, arguments: Sequence[scripts.Argument]) -> None:
        """Runs the script. The operation before it has succeeded, so an error is only logged."""
        try:
            scripts.run(self.client, scripts.Call(scripts.LOOK_AFTER, self._keys, arguments))
        except RedisError as error:
            logger.debug("Users without sessions stay in an index: %s", type(error).__name__)

    @property
    def _keys(self) -> list[str]:
        app = AppKeys.of(self.prefix, self.app_name)
        return [app.users_by_expiry, app.users_by_name]
