"""What travels in a copy, an export or an import, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import frozen

from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.transfer.streams import StreamedSession


@frozen
class SessionItem:
    """A session, not yet read.

    Attributes:
        load: Reads it; None when it has gone meanwhile.
    """

    key: SessionKey
    load: Callable[[SessionKey], StreamedSession | None]

    @contextmanager
    def reading(self) -> Iterator[StreamedSession | None]:
        """Reads the session, and lets go of it in the end."""
        session = self.load(self.key)
        try:
            yield session
        finally:
            if session is not None:
                session.close()


@frozen
class SharedStateItem:
    """State that sessions share.

    Attributes:
        user_id: The user whose state it is; None for the app's.
        state: Raw keys, without prefix, and their values.
    """

    app_name: str
    user_id: str | None
    state: Mapping[str, Any]


Item: TypeAlias = SessionItem | SharedStateItem
