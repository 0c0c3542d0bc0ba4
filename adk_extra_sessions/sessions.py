"""Between ADK's values and stored ones: the live session of a record, the window of a configuration."""

from __future__ import annotations

from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions.adk.private import set_storage_marker
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.records import SessionRecord, Window


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


def session_of(record: SessionRecord, events: list[Event]) -> Session:
    """Makes the live session of a record."""
    key = record.key
    session = Session(
        id=key.session_id,
        app_name=key.app_name,
        user_id=key.user_id,
        state={**record.state, **record.shared.prefixed},
        last_update_time=record.last_update_time,
    )
    if events:
        session.events = events
    set_storage_marker(session, str(record.revision))
    return session
