"""The one place that makes Redis keys.

All keys of one user of one app carry one hash tag, so they live in one slot of
a Redis Cluster and one script call reaches them all. Names are
percent-encoded: no name can end a hash tag, and no two triples share a key.

    adk:{app/user}:s:SESSION   hash   the session: revision, times, state
    adk:{app/user}:e:SESSION   list   its events, in the order of the appends
    adk:{app/user}:t:SESSION   hash   the turn on it, while somebody has it or waits
    adk:{app/user}:i           zset   the user's sessions, by the time of their last update
    adk:{app/user}:u           hash   the user's state
    adk:{app}:a                hash   the app's state
    adk:{app}:i                zset   users who have sessions, by when these will have expired (ms, about)

Members of the indexes are names as they stand in keys, percent-encoded.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from attrs import frozen

from adk_extra_sessions.records import SessionKey


def encoded(name: str) -> str:
    """Percent-encodes all of a name but ASCII letters, digits and `_.-~`."""
    return quote(name, safe="")


def decoded(name: bytes | str) -> str:
    """Returns the name that a member of an index tells."""
    return unquote(name)


def matching(prefix: str) -> str:
    """Returns a prefix as SCAN's pattern takes it."""
    return "".join(f"\\{letter}" if letter in "\\*?[]" else letter for letter in prefix)


@frozen
class UserKeys:
    """The keys of one user of one app."""

    prefix: str

    @classmethod
    def of(cls, prefix: str, app_name: str, user_id: str) -> UserKeys:
        """Makes the keys below the store's `prefix`."""
        return cls(f"{prefix}:{{{encoded(app_name)}/{encoded(user_id)}}}:")

    @property
    def index(self) -> str:
        """The index of the user's sessions."""
        return f"{self.prefix}i"

    @property
    def state(self) -> str:
        """The user's state."""
        return f"{self.prefix}u"

    def session(self, session_id: str) -> str:
        """The session's hash."""
        return f"{self.prefix}s:{encoded(session_id)}"

    def events(self, session_id: str) -> str:
        """The session's list of events."""
        return f"{self.prefix}e:{encoded(session_id)}"

    def turn(self, session_id: str) -> str:
        """The turn on the session."""
        return f"{self.prefix}t:{encoded(session_id)}"


@frozen
class AppKeys:
    """The keys of one app."""

    prefix: str

    @classmethod
    def of(cls, prefix: str, app_name: str) -> AppKeys:
        """Makes the keys below the store's `prefix`."""
        return cls(f"{prefix}:{{{encoded(app_name)}}}:")

    @property
    def state(self) -> str:
        """The app's state."""
        return f"{self.prefix}a"

    @property
    def users(self) -> str:
        """The index of users who have sessions."""
        return f"{self.prefix}i"


@frozen
class SessionKeys:
    """All keys that an operation on one session may touch.

    Attributes:
        owner: The session, to name it in errors.
        user_name: The user in the app's index.
    """

    owner: SessionKey
    user_name: str
    session: str
    events: str
    index: str
    user: str
    app: str
    users: str

    @classmethod
    @lru_cache(maxsize=4096)
    def of(cls, prefix: str, key: SessionKey) -> SessionKeys:
        """Makes the keys below the store's `prefix`."""
        user = UserKeys.of(prefix, key.app_name, key.user_id)
        app = AppKeys.of(prefix, key.app_name)
        return cls(
            key,
            encoded(key.user_id),
            user.session(key.session_id),
            user.events(key.session_id),
            user.index,
            user.state,
            app.state,
            app.users,
        )
