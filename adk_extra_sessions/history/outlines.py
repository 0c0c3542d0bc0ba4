"""Loading by outlines, and storing better ones after appends: readers write nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from google.adk.events import Event
from google.adk.sessions import Session

from adk_extra_sessions.abilities import reads_parts
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.forks import reset_after_fork
from adk_extra_sessions.history.calls import changes_waiting
from adk_extra_sessions.history.loading import Loaded, Loader
from adk_extra_sessions.history.outline import NewOutline
from adk_extra_sessions.history.rewinds import is_rewind
from adk_extra_sessions.history.summaries import begin_after_others, is_summary, would_replace_others
from adk_extra_sessions.options import History
from adk_extra_sessions.records import SessionKey

logger = logging.getLogger(__name__)

REMEMBERED = 1000
"""Sessions whose better outlines wait for their next append, at most."""


class Outlines:
    """The outlines of a store's sessions.

    Args:
        loader: Loads sessions by them.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Begins with nothing remembered."""
        self._lock = threading.Lock()
        self._better: dict[SessionKey, NewOutline] = {}

    def load(self, key: SessionKey) -> Loaded | None:
        """Loads a session, and remembers a better outline until its next append.

        Raises:
            CorruptRecordError: What is stored cannot be read.
        """
        loaded = self._loader.load(key)
        if loaded is not None and loaded.outline is not None:
            with self._lock:
                self._better[key] = loaded.outline
                if len(self._better) > REMEMBERED:
                    del self._better[next(iter(self._better))]
        return loaded

    def prepare(self, session: Session, event: Event) -> bool:
        """Prepares an event that ADK made from all events of a session, in case that the session was loaded in part.

        A rewind is refused, since ADK works out from all events what state to
        go back to. A summary does not replace those of events that were not loaded.

        Returns:
            Whether the event was changed.

        Raises:
            InputValidationError: A rewind, and the session has not all events.
        """
        if not is_rewind(event) and not would_replace_others(session, event):
            return False
        key = SessionKey.of(session.app_name, session.user_id, session.id)
        part = self._loader.backend.read_part(key, "waiting", 0)
        if part is None or len(session.events) >= part.end - part.first:
            return False
        if is_rewind(event):
            raise InputValidationError(
                "A session that was loaded in part cannot be rewound. Nothing was written."
                " Rewind with a service that has history='all'."
            )
        begin_after_others(session, event)
        return True

    def appended(self, key: SessionKey, events: Iterable[Event]) -> None:
        """Stores a better outline of a session that events were appended to, if there is one.

        Without it, the next reader reads more than it needs; so an error is only logged.
        """
        try:
            if any(is_summary(event) or changes_waiting(event) for event in events):
                self.load(key)
            with self._lock:
                better = self._better.pop(key, None)
            if better is not None:
                self._loader.backend.store_outline(key, better)
        except Exception as error:
            logger.debug("An outline of session %r was not stored: %s", key.session_id, type(error).__name__)


def outlines_of(backend: Backend, codec: Codec, history: History) -> Outlines | None:
    """Returns the outlines by which a store loads sessions; None if it loads all events.

    Args:
        backend: The store's backend.
        codec: The store's codec.
        history: The store's option.

    Raises:
        ConfigurationError: The backend cannot read parts of histories.
    """
    return None if history == "all" else Outlines(Loader(reads_parts(backend), codec, history))
