"""What a backend supplies beside the rules' primitives, so that all it holds can be moved exactly.

`adk_extra_sessions.transfer` is built on these and on `_insert`, `_read` and `_append`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.records import SessionKey, SessionRecord, StateTexts


class Portable(ABC):
    """Primitives of whole copies: what no user's request ever needs."""

    @abstractmethod
    def _findings(self) -> Iterator[Finding]:
        """Examines the server and what it keeps; see `doctor.examine`."""

    @abstractmethod
    def _strays(self) -> Iterator[Finding]:
        """Finds what belongs to no session, and sessions that nobody finds; walks over all that is stored."""

    @abstractmethod
    def _app_names(self) -> Iterator[str]:
        """Finds the apps that have anything stored, each once; may walk over all keys."""

    @abstractmethod
    def _session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        """Finds the sessions of an app or of one user, expired and damaged ones too, users together."""

    @abstractmethod
    def _app_state(self, app_name: str) -> Mapping[str, Any]:
        """Reads the app's state, raw key to value."""

    @abstractmethod
    def _user_states(self, app_name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any, also without a session; a user may come twice."""

    @abstractmethod
    def _write_shared(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        """Sets keys of the app's and the user's state; `texts` has none of a session."""

    @abstractmethod
    def _earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        """Reads the events before those of `record`, oldest first, page by page.

        Raises:
            SessionNotFoundError: The session was deleted meanwhile.
        """

    @abstractmethod
    def _set_time(self, key: SessionKey, revision: int, time: float) -> None:
        """Sets a session's last_update_time, if it is still at this revision."""
