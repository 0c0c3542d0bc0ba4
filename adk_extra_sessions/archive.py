"""All that a store keeps, as it is stored: what copies, exports, imports and examinations need of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from attrs import frozen
from typing_extensions import Self

from adk_extra_sessions.abilities import managed
from adk_extra_sessions.backends.base import Backend, Copyable, Examinable
from adk_extra_sessions.backends.findings import Finding
from adk_extra_sessions.details import Changes
from adk_extra_sessions.driver_errors import DriverErrors
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.records import AppendRequest, NewSession, SessionKey, SessionRecord, Window
from adk_extra_sessions.state import StateTexts

T = TypeVar("T")


@frozen
class Archive:
    """The methods of a `Copyable` backend, whose driver errors name the operation and the server.

    Attributes:
        operation: Makes the context manager of an operation, by its name.
    """

    backend: Copyable
    operation: Callable[[str], AbstractContextManager[None]]
    errors: DriverErrors

    @classmethod
    def of(
        cls, backend: Backend, operation: Callable[[str], AbstractContextManager[None]], errors: DriverErrors
    ) -> Self:
        """Makes the archive of a store.

        Raises:
            ConfigurationError: Its backend cannot be copied.
        """
        if not isinstance(backend, Copyable):
            raise ConfigurationError(f"Sessions of a {type(backend).__name__} cannot be copied or examined.")
        return cls(backend, operation, errors)

    def app_names(self) -> Iterator[str]:
        """Finds the apps that have anything stored, each once; may walk over all keys."""
        return self._walk("app_names", self.backend.app_names())

    def session_keys(self, app_name: str, user_id: str | None) -> Iterator[SessionKey]:
        """Finds the sessions of an app or of one user, expired and damaged ones too; each user's together."""
        return self._walk("session_keys", self.backend.session_keys(app_name, user_id))

    def app_state(self, app_name: str) -> Mapping[str, Any]:
        """Reads the app's state, raw key to value, with changes that sessions still hold."""
        with self.operation("app_state"):
            return self.backend.app_state(app_name)

    def user_states(self, app_name: str, user_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Reads the state of every user who has any, or of one, with what their sessions still hold for it.

        This includes users without a session; a user may come twice.
        """
        return self._walk("user_states", self.backend.user_states(app_name, user_id))

    def write_shared_state(self, app_name: str, user_id: str, texts: StateTexts) -> None:
        """Sets keys of the app's and the user's state."""
        with self.operation("write_shared_state"):
            self.backend.write_shared_state(app_name, user_id, texts)

    def create(self, new: NewSession) -> bool:
        """Stores a new session; returns False when there is one already."""
        with self.operation("create_session"):
            return self.backend.create(new) is not None

    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        """Reads a session with its newest events; `earlier` reads the others."""
        with self.operation("get_session"):
            return self.backend.read(key, window)

    def earlier(self, record: SessionRecord) -> Iterator[Sequence[bytes | str]]:
        """Reads the bodies of the events before those of `record`, oldest first, page by page."""
        return self._walk("get_session", self.backend.earlier(record))

    def append(self, request: AppendRequest) -> Sequence[int]:
        """Stores events; returns the revision after each of them, or raises why they were refused."""
        with self.operation("append_event"):
            (outcome,) = self.backend.append([request])
        if outcome.error is not None:
            self.errors.name(outcome.error, "append_event")
            raise outcome.error
        return outcome.revisions

    def set_time(self, key: SessionKey, revision: int, time: float) -> None:
        """Sets a session's last_update_time, if the session is still at this revision."""
        with self.operation("set_time"):
            self.backend.set_time(key, revision, time)

    def update(self, key: SessionKey, changes: Changes) -> None:
        """Changes a session's details, if it exists.

        Raises:
            ConfigurationError: The backend cannot keep them.
        """
        with self.operation("update_session"):
            managed(self.backend).update(key, changes)

    def discard(self, key: SessionKey) -> None:
        """Deletes whatever is stored in the place of a session, also if it is damaged or foreign."""
        with self.operation("delete_session"):
            self.backend.discard(key)

    def findings(self) -> Iterator[Finding]:
        """Examines the server, its settings and indexes; nothing where the backend cannot."""
        return self._walk("findings", self.backend.findings()) if isinstance(self.backend, Examinable) else iter(())

    def strays(self) -> Iterator[Finding]:
        """Finds what belongs to no session; nothing where the backend cannot."""
        return self._walk("strays", self.backend.strays()) if isinstance(self.backend, Examinable) else iter(())

    def _walk(self, name: str, found: Iterator[T]) -> Iterator[T]:
        while True:
            with self.operation(name):
                try:
                    one = next(found)
                except StopIteration:
                    return
            yield one
