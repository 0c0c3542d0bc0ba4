"""Copies and compares display names, labels, creation times and expiry, which ADK's own services do not have."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve, fields
from google.adk.sessions import Session as AdkSession

from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.details import DEFAULT, NEVER, Changes, Lifetime
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.session import SHOWN, Session, details_of, lifetime_of, set_lifetime
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.validation import checked_labels

DIFFERENCES = {"labels": "labels differ", "lifetime": "its own expiry differs"}
"""What is said of a detail that differs, where that is not the name and `differs`."""


def with_details(new: NewSession, session: AdkSession) -> NewSession:
    """Adds a session's details to the request that creates its copy.

    Raises:
        SessionNotFoundError: It has expired.
    """
    if not isinstance(session, Session):
        return new
    details = details_of(session)
    if details.lifetime.kind == "fixed" and details.lifetime.expire_time <= time.time():
        raise SessionNotFoundError(f"{new.key} has expired since it was read.")
    return evolve(new, details=evolve(details, create_time=details.create_time or new.details.create_time))


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
    store.archive.update(key, Changes.to(details_of(session)))
    return True


def detail_differences(session: AdkSession, other: AdkSession) -> Iterator[str]:
    """Describes how the details of a copy differ from those of the session."""
    yield from changed_details(session, other)
    if not isinstance(session, Session) or not isinstance(other, Session):
        return
    if session.create_time and other.create_time and session.create_time != other.create_time:
        yield f"create_time is {other.create_time!r} instead of {session.create_time!r}"
    for name in ("parent_session_id", "root_session_id"):
        if getattr(session, name) != getattr(other, name):
            yield f"{name} differs"


def changed_details(session: AdkSession, other: AdkSession) -> Iterator[str]:
    """Describes which of the details that can be changed differ in a copy."""
    if not isinstance(session, Session):
        return
    copied = other if isinstance(other, Session) else Session(id=other.id, app_name=other.app_name, user_id="")
    wanted, found = details_of(session), details_of(copied)
    for name in (one.name for one in fields(Changes)):
        if getattr(wanted, name) != getattr(found, name):
            yield DIFFERENCES.get(name, f"{name} differs")


def written(session: AdkSession) -> dict[str, Any]:
    """Returns a session's details for a file of exported sessions; only those that are set."""
    if not isinstance(session, Session):
        return {}
    found = {name: value for name in SHOWN if name != "expire_time" and (value := getattr(session, name))}
    lifetime = lifetime_of(session)
    if lifetime.kind == "ttl":
        found["ttl"] = lifetime.ttl_ms / 1000
    elif lifetime != DEFAULT:
        found["expire_time"] = lifetime.expire_time if lifetime.kind == "fixed" else None
    return found


def session_with_details(head: Mapping[str, Any], **named: Any) -> Session:
    """Creates a session from what `written` returned, and the fields that ADK's sessions have.

    Raises:
        ValueError: A value has a wrong type.
    """
    details = {name: head[name] for name in SHOWN if name in head}
    checked_labels(details.get("labels"))
    session = Session(**named, **details)
    if "ttl" in head:
        set_lifetime(session, Lifetime.sliding(int(head["ttl"] * 1000)))
    elif "expire_time" in head:
        moment = head["expire_time"]
        set_lifetime(session, NEVER if moment is None else Lifetime.until(float(moment)))
    return session
