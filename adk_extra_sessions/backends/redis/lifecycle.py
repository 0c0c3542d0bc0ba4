"""Creating, updating and deleting one session on Redis."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import TEXT_DETAILS, SessionKeys
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.backends.redis.replies import (
    StoredSession,
    checked,
    details_pairs,
    foreign_type_named,
    new_session_pairs,
    own_ttl,
    state_of,
    state_pairs,
)
from adk_extra_sessions.backends.redis.scripts import Argument, Call
from adk_extra_sessions.backends.redis.split_app_state import SplitAppState, pending_pairs
from adk_extra_sessions.backends.redis.users import UserIndex
from adk_extra_sessions.details import UNSET, Changes, Lifetime, SessionDetails
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.state import SharedState


@frozen
class Lifecycle:
    """Creates, updates and deletes sessions below a prefix; see `RedisBackend` for the attributes.

    Attributes:
        split: The app's state, where a script cannot reach it together with the session.
    """

    client: Any
    prefix: str
    ttl_ms: int
    replication: Replication
    split: SplitAppState | None

    def create(self, new: NewSession) -> SharedState | None:
        """Stores a new session; see `Backend.create`."""
        keys = SessionKeys.of(self.prefix, new.key)
        users = self._users(new.key)
        with foreign_type_named(new.key):
            ticket = 0
            if self.split:  # entered before, so that no crash can hide the user from lists
                users.enter(new.key.user_id, self._ttl(new.details.lifetime))
                ticket = self.split.before_create(keys, new)
            status, *found = self._run(self.create_call(new, ticket), new.key)
            if int(status) == 0:
                return None
            user, app, overdue = found
            if self.split:
                users.enter_again(new.key.user_id)
            users.look_after_overdue(overdue)
            app_state = self.split.after_create(keys, new, ticket) if self.split else state_of(app, new.key)
            return SharedState(user=state_of(user, new.key), app=app_state)

    def create_call(self, new: NewSession, ticket: int = 0) -> Call:
        """Returns the script call that creates a session; `ticket` is that of its app state on a cluster."""
        keys = SessionKeys.of(self.prefix, new.key)
        session = [*new_session_pairs(new), *state_pairs(new.state.session)]
        names = [keys.session, keys.events, keys.index, keys.user]
        app: list[Argument] = []
        if self.split is None:
            names += [keys.app, *keys.users]
            app = state_pairs(new.state.app)
        elif new.state.app:
            session += pending_pairs(new.state.app, new.nonce, ticket)
        ttl, created = self._ttl(new.details.lifetime), repr(new.details.create_time)
        arguments: list[Argument] = [new.nonce, ttl, created, keys.user_name]
        for pairs in (session, state_pairs(new.state.user), app):
            arguments += (len(pairs) // 2, *pairs)
        return Call(scripts.CREATE, names, arguments)

    def update(self, key: SessionKey, changes: Changes) -> SessionDetails | None:
        """Changes a session's details; see `Managed.update`."""
        status, *found = self._run(self._update_call(key, changes), key)
        if int(status) == 0:
            return None
        if int(status) < 0:
            raise CorruptRecordError(f"{key} is damaged, or was stored by another program or version.")
        session, expires_at = found
        return StoredSession.of(session, expires_at, key).details

    def _update_call(self, key: SessionKey, changes: Changes) -> Call:
        keys = SessionKeys.of(self.prefix, key)
        lifetime = "=" if changes.lifetime is UNSET else own_ttl(changes.lifetime)
        removed = [one for name, one in TEXT_DETAILS.items() if getattr(changes, name, UNSET) is None]
        names = [keys.session, keys.events, keys.index] + ([] if self.split else keys.users)
        replaced = int(changes.labels is not UNSET)
        arguments: list[Argument] = [self.ttl_ms, lifetime, keys.user_name, replaced, len(removed)]
        return Call(scripts.UPDATE, names, [*arguments, *removed, *details_pairs(changes)])

    def _ttl(self, lifetime: Lifetime) -> str:
        """Returns the time to live of a session that is created now, as create.lua takes it."""
        return own_ttl(lifetime) or str(self.ttl_ms)

    def delete(self, key: SessionKey, revision: str = "") -> bool:
        """Deletes a session, if given a revision only one that is still at it; returns whether there was one."""
        keys = SessionKeys.of(self.prefix, key)
        names = [keys.session, keys.events, keys.index] + ([] if self.split else keys.users)
        with foreign_type_named(key):
            call = Call(scripts.DELETE, names, [keys.user_name, revision])
            last, pending, there = self._run(call, key)
            while self.split and pending:
                self.split.apply_left(keys, pending)
                last, pending, there = self._run(call, key)
            if self.split and last:
                self._users(key).look_after_gone(key.user_id)
        return bool(there)

    def _users(self, key: SessionKey) -> UserIndex:
        return UserIndex(self.client, self.prefix, key.app_name)

    def _run(self, call: Call, key: SessionKey) -> Any:
        return checked(scripts.run_many(self.client, [call], self.replication)[0], key)
