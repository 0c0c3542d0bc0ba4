"""Erasing all that belongs to a user, or to an app with all its users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, UserKeys, decoded, encoded, matching
from adk_extra_sessions.backends.redis.replies import checked, foreign_type_named, text
from adk_extra_sessions.backends.redis.users import UserIndex
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
            total = self._user(app_name, user_id) + self._left(app_name, user_id)
            UserIndex(self.client, self.prefix, app_name).update(user_id)
            return total
        app = AppKeys.of(self.prefix, app_name)
        indexes = [app.users_by_name, app.users_by_expiry]
        before, total = self._existing(indexes), Erased()
        for key in indexes:
            for user in self._members(key):
                total += self._user(app_name, user)
        total += self._left(app_name, None)
        for key in indexes:
            for user in self._members(key):
                UserIndex(self.client, self.prefix, app_name).update(user)
        return total + self._keys([app.state], states=1) + Erased(records=before - self._existing(indexes))

    def _user(self, app_name: str, user_id: str) -> Erased:
        return self._sessions(UserKeys.of(self.prefix, app_name, user_id), SessionKey(app_name, user_id, ""))

    def _sessions(self, keys: UserKeys, user: SessionKey, *names: str) -> Erased:
        """Deletes a user's state and sessions: those in the index, and those of some names that it may not have."""
        total, left = Erased(), 1
        while left:
            with foreign_type_named(user):
                listed = self.client.zrange(keys.index, 0, SESSIONS - 1)
            sessions = [key for name in {*map(text, listed), *names} for key in keys.of_listed(name)]
            call = scripts.Call(scripts.ERASE, [keys.index, keys.state, *sessions], [])
            (reply,) = scripts.run_many(self.client, [call])
            records, deleted, events, turns, states, left = map(int, checked(reply, user))
            total += Erased(sessions=deleted, events=events, states=states, turns=turns, records=records)
        return total

    def _left(self, app_name: str, user_id: str | None) -> Erased:
        """Deletes what no index has, with the user's or any user's names, and what others store meanwhile."""
        total = Erased()
        user = "*" if user_id is None else encoded(user_id)
        pattern = f"{matching(self.prefix)}:{{{encoded(app_name)}/{user}}}:*"
        for key in self.client.scan_iter(match=pattern, count=SCANNED):
            tag, _, name = text(key).rpartition("}:")
            kind, _, session = name.partition(":")
            owner = SessionKey(app_name, decoded(tag.rpartition("/")[2]), "")
            if kind in {"i", "u", "s", "e", "t"}:
                # Never the index or the state alone: a session that is created at this moment would be without it.
                names = [session] if kind in {"s", "e", "t"} else []
                total += self._sessions(UserKeys(f"{tag}}}:"), owner, *names)
            else:
                total += self._keys([key])
        return total

    def _existing(self, keys: Iterable[str]) -> int:
        return sum(int(self.client.exists(key)) for key in keys)

    def _keys(self, keys: Iterable[Any], **each: int) -> Erased:
        """Deletes keys; returns how many existed. `each` says what one of them counts as."""
        deleted = sum(int(self.client.unlink(key)) for key in keys)
        return Erased(records=deleted, **{name: int(count) * deleted for name, count in each.items()})

    def _members(self, key: str) -> Iterator[str]:
        for member, _ in self.client.zscan_iter(key, count=SCANNED):
            yield decoded(member)
