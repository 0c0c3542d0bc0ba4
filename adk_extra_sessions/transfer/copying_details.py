"""Copies and compares display names, labels, creation times and expiry, which ADK's own services do not have."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve
from google.adk.sessions import Session as AdkSession

from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.details import DEFAULT, NEVER, Changes, Lifetime
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.session import Session, lifetime_of, set_lifetime
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.validation import checked_display_name, checked_labels


def with_details(new: NewSession, session: AdkSession) -> NewSession:
    """Adds a session's details to the request that creates its copy.

    Raises:
        SessionNotFoundError: It has expired.
    """
    if not isinstance(session, Session):
        return new
    lifetime = lifetime_of(session)
    if lifetime.kind == "fixed" and lifetime.expire_time <= time.time():
        raise SessionNotFoundError(f"{new.key} has expired since it was read.")
    return evolve(
        new,
        created=session.create_time or new.created,
        display_name=session.display_name,
        labels=session.labels,
        lifetime=lifetime,
        parent_session_id=session.parent_session_id,
        root_session_id=session.root_session_id,
    )


def update_details(store: SessionStore, key: SessionKey, session: AdkSession, stored: AdkSession) -> bool:
    """Updates display name, labels and expiry of an existing copy.

    Args:
        store: The store of the copy.
        key: The key of the session.
        session: The session in the source.
        stored: The copy.

    Returns:
        Whether anything changed.
    """
    if not isinstance(store.backend, Managed) or not any(changed_details(session, stored)):
        return False
    assert isinstance(session, Session)
    store.archive.update(key, Changes(session.display_name, session.labels, lifetime_of(session)))
    return True


def detail_differences(session: AdkSession, other: AdkSession) -> Iterator[str]:
    """Describes how the details of a copy differ from those of the session."""
    yield from changed_details(session, other)
    if not isinstance(session, Session) or not isinstance(other, Session):
        return
    if session.create_time and other.create_time and session.create_time != other.create_time:
        yield f"create_time is {other.create_time!r} instead of {session.create_time!r}"


def changed_details(session: AdkSession, other: AdkSession) -> Iterator[str]:
    """Describes which of the details that can be changed differ in a copy."""
    if not isinstance(session, Session):
        return
    copied = other if isinstance(other, Session) else Session(id=other.id, app_name=other.app_name, user_id="")
    if session.display_name != copied.display_name:
        yield "display_name differs"
    if session.labels != copied.labels:
        yield "labels differ"
    if lifetime_of(session) != lifetime_of(copied):
        yield "its own expiry differs"


def written(session: AdkSession) -> dict[str, Any]:
    """Returns a session's details for a file of exported sessions; only those that are set."""
    if not isinstance(session, Session):
        return {}
    names = ("display_name", "labels", "create_time", "parent_session_id", "root_session_id")
    found = {name: value for name in names if (value := getattr(session, name))}
    lifetime = lifetime_of(session)
    if lifetime.kind == "ttl":
        found["ttl"] = lifetime.ttl_ms / 1000
    elif lifetime != DEFAULT:
        found["expire_time"] = lifetime.expire_time if lifetime.kind == "fixed" else None
    return found


def session_with_details(head: Mapping[str, Any], **fields: Any) -> Session:
    """Creates a session from what `written` returned, and the fields that ADK's sessions have.

    Raises:
        ValueError: A value has a wrong type.
    """
    session = Session(
        **fields,
        display_name=checked_display_name(head.get("display_name")),
        labels=checked_labels(head.get("labels")),
        create_time=head.get("create_time", 0.0),
        parent_session_id=head.get("parent_session_id"),
        root_session_id=head.get("root_session_id"),
    )
    if "ttl" in head:
        set_lifetime(session, Lifetime.sliding(int(head["ttl"] * 1000)))
    elif "expire_time" in head:
        moment = head["expire_time"]
        set_lifetime(session, NEVER if moment is None else Lifetime.until(float(moment)))
    return session
