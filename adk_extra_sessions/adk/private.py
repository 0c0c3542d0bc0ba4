"""The two things of ADK that this package needs and that have no public place.

`tests/adk/test_adk_private.py` fails when ADK moves either of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.adk.sessions import Session

if TYPE_CHECKING:

    class StaleSessionError(ValueError):
        """ADK's error for an append to a session that was changed in storage since it was loaded."""

else:
    try:
        from google.adk.errors import StaleSessionError
    except ImportError:  # google-adk before 2.13 exports no such error
        try:
            from google.adk.errors._stale_session_error import StaleSessionError
        except ImportError:

            class StaleSessionError(ValueError):
                """A session's write lost against a newer revision in storage."""


def storage_marker(session: Session) -> str | None:
    """Returns the storage revision that `session` was loaded or last written at.

    Args:
        session: A session that this or another service returned.

    Returns:
        The marker as ADK keeps it, or None for a session built by hand.
    """
    return session._storage_update_marker


def set_storage_marker(session: Session, marker: str) -> None:
    """Sets the storage revision of `session`."""
    session._storage_update_marker = marker
