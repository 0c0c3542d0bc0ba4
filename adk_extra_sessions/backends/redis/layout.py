"""Every key and every field that is stored on Redis, and what it means. docs/stored-form.md describes them for people.

All keys of one user of one app carry one hash tag, so they live in one slot of
a Redis Cluster and one script call reaches them all. Names are
percent-encoded: no name can end a hash tag, and no two triples share a key.

    adk:{app/user}:s:SESSION   hash   the session
    adk:{app/user}:e:SESSION   list   its events: header, body, header, body, ... in the order of the appends
    adk:{app/user}:t:SESSION   hash   the turn on it, while somebody has it or waits
    adk:{app/user}:i           zset   the user's sessions, by the time of their last update
    adk:{app/user}:u           hash   the user's state
    adk:{app}:a                hash   the app's state
    adk:{app}:i                zset   users who have sessions, by when these will have expired (ms, about)
    adk:{app}:n                zset   the same users, by name

Members of the indexes are names as they are in keys, percent-encoded.

An event's header is its timestamp and its digest with a space between, as text;
more words may follow, that can be found without opening the body. The body is
the codec's, any bytes. The first event has position 0 for ever, also when
events before the others have been removed.
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
    """Returns the name that was percent-encoded."""
    return unquote(name)


def matching(prefix: str) -> str:
    """Returns a prefix as SCAN's pattern takes it."""
    return "".join(f"\\{letter}" if letter in "\\*?[]" else letter for letter in prefix)


NO_NAME = "%"
"""The hash tag of an app whose name is empty; no name is encoded so."""


def app_of(tag: str) -> str:
    """Returns the app whose keys, or whose user's keys, have this hash tag."""
    name = tag.partition("/")[0]
    return "" if name == NO_NAME else decoded(name)


class Field:
    """The fields of the hashes. The scripts say `FIELD.revision` and get the name from here.

    A session expires with its keys. The name `epoch` is kept free: it will grow when events are rewritten.
    """

    # Of a session, all its life.
    format = "format"
    """Version of the stored form."""
    nonce = "nonce"
    """Tells a repeated creation from another caller's."""
    create_time = "create_time"
    """Seconds since the epoch."""
    start_revision = "start_revision"
    """The revision at creation. No other session has it."""
    initial_state = "initial_state"
    """The session's own state at creation, as a JSON object, only if there was any; null in copies."""

    # Of a session, only if it has them.
    display_name = "display_name"
    """Its name for people."""
    label = "label:"
    """Begins the name of each field with a label."""
    ttl = "ttl"
    """Its own time to live in ms, 0 for none, or `until:` and a time in ms since the epoch. Without it that of the
    store that writes counts."""
    parent = "parent_session_id"
    """The session that it was forked from."""
    root = "root_session_id"
    """The first session in its line of forks."""

    # Of a session, changed by appends.
    revision = "revision"
    """Grows by 1 with each event."""
    last_update_time = "last_update_time"
    """Timestamp of the last event, or the time of creation."""
    first_position = "first_position"
    """Position of the first event in the list."""
    event_count = "event_count"
    """How many events are in the list."""
    state = "state:"
    """Begins the name of each field with a value of the state, as JSON; also in the hashes of user and app."""

    # Of a session, for finding events by time without reading all of them.
    recent = "recent"
    """The four newest events by timestamp, the oldest of them first: position, lowest timestamp after it, timestamp."""
    newest_time = "newest_time"
    """The newest timestamp of all other events."""
    backward_step = "backward_step"
    """How many seconds, at most, an event is behind an earlier one, those of `recent` left aside."""

    # Of a session, for loading of a long history what a turn needs; see history/outline.py.
    long_running = "long_running"
    """How many events may have changed which calls of long-running tools wait; only if there were any."""
    outline = "outline:"
    """Begins the names of the fields with what a turn needs of the history; there only once it is known."""

    # Of a session on a Redis Cluster, while a change of the app's state is being applied; see shared_deltas.py.
    pending = "pending:"
    """Begins the name of each field with such a change: JSON with its ticket and state."""
    has_pending = "has_pending"
    """There while there are such fields."""

    # Of the app's state on a Redis Cluster.
    ticket = "ticket:"
    """Begins the name of each field with the ticket of the change that set a key."""
    last_ticket = "last_ticket"
    """The last ticket taken."""

    # Of a turn.
    queue = "queue"
    """Who has the turn and who waits, as JSON."""


TEXT_DETAILS = {
    "display_name": Field.display_name,
    "parent_session_id": Field.parent,
    "root_session_id": Field.root,
}
"""The details of a session that are texts, by their names in `SessionDetails`, and the field of each."""


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

    def of_listed(self, name: str) -> list[str]:
        """The keys of a session, of its events and of its turn; `name` is the session's in the index."""
        return [f"{self.prefix}{kind}:{name}" for kind in ("s", "e", "t")]

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
        # An empty hash tag is none: the keys of an app without a name would be in several slots.
        return cls(f"{prefix}:{{{encoded(app_name) or NO_NAME}}}:")

    @property
    def state(self) -> str:
        """The app's state."""
        return f"{self.prefix}a"

    @property
    def users_by_expiry(self) -> str:
        """The index of users who have sessions, by when these will have expired."""
        return f"{self.prefix}i"

    @property
    def users_by_name(self) -> str:
        """The index of the same users by name."""
        return f"{self.prefix}n"


@frozen
class SessionKeys:
    """All keys that an operation on one session may touch.

    Attributes:
        owner: The session, to name it in errors.
        user_name: The user in the indexes of the app's users.
    """

    owner: SessionKey
    user_name: str
    session: str
    events: str
    index: str
    user: str
    app: str
    users_by_expiry: str
    users_by_name: str

    @property
    def users(self) -> list[str]:
        """The indexes of the app's users, as scripts take them."""
        return [self.users_by_expiry, self.users_by_name]

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
            app.users_by_expiry,
            app.users_by_name,
        )
