"""Makes `Session` objects of what a backend returns, and requests to a backend of what callers pass."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from attrs import evolve
from google.adk.events import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions.adk.private import set_storage_marker
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.details import DEFAULT, SessionDetails
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.records import NewSession, SessionKey, SessionRecord, Window
from adk_extra_sessions.session import SHOWN, Session, set_lifetime
from adk_extra_sessions.state import SharedState, split
from adk_extra_sessions.state_json import decode_value


def window_of(config: GetSessionConfig | None) -> Window:
    """Returns which events a caller wants.

    Raises:
        InputValidationError: `config`, or a value in it, is of the wrong type.
    """
    if config is None:
        return Window()
    if not isinstance(config, GetSessionConfig):
        raise InputValidationError(f"config must be a GetSessionConfig, not {type(config).__name__}.")
    recent, after = config.num_recent_events, config.after_timestamp
    if recent is not None and (not isinstance(recent, int) or recent < 0):
        raise InputValidationError("num_recent_events must be an integer, greater than or equal to 0.")
    if after is not None and not isinstance(after, (int, float)):
        raise InputValidationError("after_timestamp must be a number of seconds.")
    return Window(recent, after)


def new_session(key: SessionKey, state: object, details: SessionDetails, codec: Codec) -> NewSession:
    """Makes the request that creates a session.

    Args:
        key: Its names; if the session id is blank, a new one is made.
        state: Its initial state in all scopes, or None.
        details: Its details, without a time of creation.
        codec: The store's.

    Raises:
        InputValidationError: `state` is not a dictionary.
        StateValueError: A value has no JSON form.
    """
    if state is not None and not isinstance(state, Mapping):
        raise InputValidationError(f"state must be a dictionary, not {type(state).__name__}.")
    if not key.session_id:
        key = SessionKey(key.app_name, key.user_id, platform_uuid.new_uuid())
    return NewSession(
        key,
        time.time_ns() // 1000,
        uuid.uuid4().hex,
        codec.encode_state(state or {}),
        evolve(details, create_time=platform_time.get_time()),
    )


def created_session(
    new: NewSession, state: Mapping[str, Any] | None, shared: SharedState, details: SessionDetails
) -> Session:
    """Makes the `Session` object of a session that was just created.

    Args:
        new: The request that created it.
        state: The state that its caller gave.
        shared: The app's and the user's state since.
        details: Its details, as they are read from storage.
    """
    own = {name: decode_value(text) for name, text in new.state.session.items()}
    record = SessionRecord(new.key, new.revision, new.details.create_time, own, shared, details=details)
    session = session_of(record, [])
    session.state.update(split(state or {}).temp)
    return session


def session_of(record: SessionRecord, events: list[Event]) -> Session:
    """Makes the `Session` object of a record."""
    key, details = record.key, record.details
    session = Session(
        id=key.session_id,
        app_name=key.app_name,
        user_id=key.user_id,
        state={**record.state, **record.shared.prefixed},
        last_update_time=record.last_update_time,
        **{name: getattr(details, name) for name in SHOWN},
    )
    if details.lifetime is not DEFAULT:
        set_lifetime(session, details.lifetime)
    if events:
        session.events = events
    set_storage_marker(session, str(record.revision))
    return session
