"""Finds keys without a session, and sessions and users that are in no list, for example after an eviction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from attrs import frozen

from adk_extra_sessions.backends.findings import Finding, Level, rm_command
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, SessionKeys, decoded, encoded, matching
from adk_extra_sessions.backends.redis.replies import checked, text
from adk_extra_sessions.records import SessionKey

AT_ONCE = 500
"""How many keys one round trip checks."""

SCANNED = 5000
"""How many keys one SCAN looks at."""

NEVER_EXPIRES = -1
"""What PTTL returns for a key without expiry."""

NOT_LISTED = "has sessions, but is not found when the app's sessions are listed"
"""The problem of a user whom an index of the app does not have."""

TYPES = {"s": "hash", "e": "list", "i": "zset", "n": "zset", "u": "hash", "a": "hash"}
"""The type of each key, by the letter in its name."""


@frozen
class _Found:
    """A key that SCAN returned.

    Attributes:
        session: The session whose key it is.
        user: The app and the user whose index of sessions it is.
    """

    name: str
    letter: str
    session: SessionKey | None = None
    user: tuple[str, str] | None = None

    @classmethod
    def of(cls, name: str) -> _Found | None:
        tag, _, rest = name.rpartition("{")[2].partition("}:")
        letter, _, session_id = rest.partition(":")
        app, slash, user = tag.partition("/")
        if letter in ("s", "e"):
            return cls(name, letter, SessionKey(decoded(app), decoded(user), decoded(session_id)))
        if letter == "i" and slash:
            return cls(name, letter, user=(decoded(app), decoded(user)))
        return cls(name, letter) if letter in ("i", "n", "u", "a") else None


def strays(client: Any, prefix: str) -> Iterator[Finding]:
    """Checks every key with a prefix.

    Args:
        client: A redis-py client.
        prefix: The prefix of the store's keys.
    """
    walk = client.scan_iter(match=f"{matching(prefix)}:{{*}}:*", count=SCANNED)
    met = (found for found in (_Found.of(text(name)) for name in walk) if found)
    while page := list(islice(met, AT_ONCE)):
        suspects = list(_wrong(client, prefix, page))
        # Check again: events may expire a moment later than their session.
        for found, problem in _wrong(client, prefix, [found for found, _ in suspects]):
            yield _finding(found, problem)


def lost(client: Any, prefix: str, keys: Iterable[SessionKey]) -> Iterator[Finding]:
    """Finds sessions that are listed but do not exist, of users whose sessions do not expire."""
    listed = iter(keys)
    while page := list(islice(listed, AT_ONCE)):
        for key, (there, _, is_listed, left) in zip(page, _keys_of(client, prefix, page), strict=True):
            if not there and is_listed and left == NEVER_EXPIRES:
                yield Finding(
                    Level.PROBLEM,
                    "records",
                    f"{key} is listed but does not exist: it was evicted or deleted by hand, or has expired",
                    "If it has expired, listing the sessions removes it. Otherwise restore it from a backup, or remove "
                    f"it from the list: {rm_command(key)}",
                )


def _wrong(client: Any, prefix: str, page: Sequence[_Found]) -> Iterator[tuple[_Found, str]]:
    pipeline = client.pipeline(transaction=False)
    for found in page:
        pipeline.type(found.name)
    types = pipeline.execute()
    keys = iter(_keys_of(client, prefix, [found.session for found in page if found.session]))
    listed = _listed(client, prefix, [found.user for found in page if found.user])
    for found, kind in zip(page, types, strict=True):
        problem = _type_problem(text(kind), TYPES[found.letter])
        if found.session:
            there, has_events, is_listed, _ = next(keys)
            if found.letter == "e" and has_events and not there:
                problem = "does not exist, but its events do"
            elif found.letter == "s" and there and not is_listed:
                problem = "exists, but is in no list"
        elif found.user and text(kind) == "zset" and found.user not in listed:
            problem = NOT_LISTED
        if problem:
            yield found, problem


def _keys_of(client: Any, prefix: str, sessions: Sequence[SessionKey]) -> list[Any]:
    """Returns what session_keys.lua says of each session: a session may be deleted and created at any moment."""
    keys = [SessionKeys.of(prefix, key) for key in sessions]
    calls = [scripts.Call(scripts.SESSION_KEYS, [one.session, one.events, one.index], []) for one in keys]
    replies = scripts.run_many(client, calls)
    return [checked(reply, key) for reply, key in zip(replies, sessions, strict=True)]


def _listed(client: Any, prefix: str, users: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Returns the users who are in both indexes of their app."""
    pipeline = client.pipeline(transaction=False)
    for app, user in users:
        keys = AppKeys.of(prefix, app)
        pipeline.zscore(keys.users_by_expiry, encoded(user))
        pipeline.zscore(keys.users_by_name, encoded(user))
    scores = pipeline.execute(raise_on_error=False)  # an index of a foreign type is a finding of its own
    return {user for at, user in enumerate(users) if None not in scores[2 * at : 2 * at + 2]}


def _type_problem(kind: str, wanted: str) -> str:
    return "" if kind in (wanted, "none") else f"is a {kind}, not a {wanted}"


def _finding(found: _Found, problem: str) -> Finding:
    if found.user is not None and problem == NOT_LISTED:
        app, user = found.user
        remedy = "Create a session for this user: the others are then listed again."
        return Finding(Level.PROBLEM, "records", f"User {user!r} of app {app!r} {problem}", remedy)
    if found.session is None:
        remedy = "Restore it from a backup, or delete it: redis-cli DEL KEY"
        return Finding(Level.PROBLEM, "records", f"The key {found.name} {problem}", remedy)
    remedy = f"Restore it from a backup, or delete what is left of it: {rm_command(found.session)}"
    subject = str(found.session) if "not a" not in problem else f"A key of {found.session}"
    return Finding(Level.PROBLEM, "records", f"{subject} {problem}", remedy)
