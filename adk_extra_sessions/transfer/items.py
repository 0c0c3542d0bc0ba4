"""The items of a copy, an export or an import: sessions, and the state that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import frozen

from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.transfer.streams import StreamedSession


@frozen
class SessionItem:
    """A session that has not been read yet.

    Attributes:
        load: Reads it; returns None if it was deleted meanwhile.
    """

    key: SessionKey
    load: Callable[[SessionKey], StreamedSession | None]

    @contextmanager
    def reading(self) -> Iterator[StreamedSession | None]:
        """Reads the session, and closes it at the end."""
        session = self.load(self.key)
        try:
            yield session
        finally:
            if session is not None:
                session.close()


@frozen
class SharedStateItem:
    """The state of an app or of a user.

    Attributes:
        user_id: The user; None for the app's state.
        state: Raw keys, without prefix, and their values.
    """

    app_name: str
    user_id: str | None
    state: Mapping[str, Any]


Item: TypeAlias = SessionItem | SharedStateItem
