"""Erasing all that belongs to a user, or to an app with all its users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, UserKeys, decoded, encoded, matching
from adk_extra_sessions.backends.redis.replies import checked, text
from adk_extra_sessions.records import Erased, SessionKey

SESSIONS = 100
"""Sessions that one script call deletes: the server serves nobody else meanwhile."""

SCANNED = 5000
"""Keys that one step of a walk looks at."""


@frozen
class Erasing:
    """Deletes sessions by their indexes, then walks over all keys for what no index has: turns, damaged sessions."""

    client: Any
    prefix: str

    def erase(self, app_name: str, user_id: str | None) -> Erased:
        """Deletes everything; see `Erasable.erase`."""
        if user_id is not None:
            return self._user(app_name, user_id) + self._left(app_name, user_id)
        app = AppKeys.of(self.prefix, app_name)
        total = Erased()
        for key in (app.users_by_name, app.users_by_expiry):
            for user in self._members(key):
                total += self._user(app_name, user)
        total += self._left(app_name, None)
        return total + self._keys([app.state], states=1) + self._keys([app.users_by_expiry, app.users_by_name])

    def _user(self, app_name: str, user_id: str) -> Erased:
        keys = UserKeys.of(self.prefix, app_name, user_id)
        user = SessionKey(app_name, user_id, "")
        total, left = Erased(), 1
        while left:
            (reply,) = scripts.run_many(self.client, [scripts.Call(scripts.ERASE, [keys.index], [SESSIONS])])
            records, sessions, events, turns, left = map(int, checked(reply, user))
            total += Erased(sessions=sessions, events=events, turns=turns, records=records)
        total += self._keys([keys.state], states=1)
        app = AppKeys.of(self.prefix, app_name)
        for key in (app.users_by_expiry, app.users_by_name):
            self.client.zrem(key, encoded(user_id))
        return total

    def _left(self, app_name: str, user_id: str | None) -> Erased:
        """Deletes all other keys with the user's, or any user's, names."""
        total = Erased()
        user = "*" if user_id is None else matching(encoded(user_id))
        pattern = f"{matching(self.prefix)}:{{{matching(encoded(app_name))}/{user}}}:*"
        for key in self.client.scan_iter(match=pattern, count=SCANNED):
            kind = text(key).rpartition("}:")[2][:1]
            total += self._keys([key], sessions=kind == "s", turns=kind == "t", states=kind == "u")
        return total

    def _keys(self, keys: Iterable[Any], **each: int) -> Erased:
        """Deletes keys; returns how many existed. `each` says what one of them counts as."""
        deleted = sum(int(self.client.unlink(key)) for key in keys)
        return Erased(records=deleted, **{name: int(count) * deleted for name, count in each.items()})

    def _members(self, key: str) -> Iterator[str]:
        for member, _ in self.client.zscan_iter(key, count=SCANNED):
            yield decoded(member)
