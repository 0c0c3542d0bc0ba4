"""A place has sessions: one of this package's stores, or any ADK session service, behind the same blocking calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from google.adk.events import Event
from google.adk.sessions import Session
from typing_extensions import Self, override

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.transfer.items import Item, SessionItem, SharedStateItem
from adk_extra_sessions.transfer.restoring import Restored, restore_session, write_shared_state
from adk_extra_sessions.transfer.streams import StreamedSession, stream_session

PAGE = 500
"""Sessions in each page when all are listed."""


class Place(ABC):
    """A store or a session service. A context manager that closes, at its end, what it opened.

    Attributes:
        jobs: How many sessions may be worked on at once.
    """

    jobs: int

    @abstractmethod
    def app_names(self) -> Iterator[str]:
        """Finds the apps that have sessions or state.

        Raises:
            ConfigurationError: The service cannot list its apps.
        """

    @abstractmethod
    def keys(self, app_name: str, user_id: str | None = None) -> Iterator[SessionKey]:
        """Yields the keys of all sessions, user by user; a session may have been deleted or have expired by now."""

    @abstractmethod
    def sessions(self, app_name: str, user_id: str | None = None) -> Iterator[Session]:
        """Yields sessions without their events, user by user."""

    @abstractmethod
    def stream(self, key: SessionKey) -> StreamedSession | None:
        """Reads a session; returns None if there is none."""

    @abstractmethod
    def shared_states(self, app_name: str, user_id: str | None = None) -> Iterator[SharedStateItem]:
        """Yields the state of one user; without `user_id`, that of every user, and then the app's.

        The app's state is last because ADK's services can only set it together with a user's.
        """

    @abstractmethod
    def shared_state(self, app_name: str, user_id: str | None) -> Mapping[str, Any]:
        """Returns a user's state, or with None the app's; keys without prefix."""

    def has_app(self, app_name: str) -> bool:
        """Whether an app has sessions or state."""
        if next(self.keys(app_name), None) is not None:
            return True
        return any(item.state for item in self.shared_states(app_name))

    @abstractmethod
    def restore(self, session: Session, events: Iterable[Event]) -> Restored:
        """Writes a session exactly as it is in another place; see `restore_session`."""

    @abstractmethod
    def write_shared_state(self, app_name: str, user_id: str | None, state: Mapping[str, Any]) -> None:
        """Sets keys of a user's or the app's state; see `write_shared_state`."""

    @abstractmethod
    def delete(self, key: SessionKey) -> None:
        """Deletes a session."""

    def discard(self, key: SessionKey) -> None:
        """Deletes a session, even if it is damaged, or what is left of it."""
        self.delete(key)

    @abstractmethod
    def close(self) -> None:
        """Closes what the place opened."""

    def items(self, app_names: Sequence[str] = (), user_ids: Sequence[str] = ()) -> Iterator[Item]:
        """Yields everything to copy: for each app its sessions, then the state that they share.

        Args:
            app_names: Only these apps.
            user_ids: Only these users; the app's state, which all users share, is then left out.
        """
        for app_name in app_names or self.app_names():
            for user_id in user_ids or (None,):
                for key in self.keys(app_name, user_id):
                    yield SessionItem(key, self.stream)
                yield from self.shared_states(app_name, user_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StorePlace(Place):
    """One of this package's stores."""

    jobs = 4

    def __init__(self, store: SessionStore, *, owns_store: bool = False) -> None:
        """Wraps a store.

        Args:
            store: The store.
            owns_store: Whether closing the place closes the store.
        """
        self.store = store
        self._owns_store = owns_store

    @override
    def app_names(self) -> Iterator[str]:
        return self.store.archive.app_names()

    @override
    def keys(self, app_name: str, user_id: str | None = None) -> Iterator[SessionKey]:
        return self.store.archive.session_keys(app_name, user_id)

    @override
    def sessions(self, app_name: str, user_id: str | None = None) -> Iterator[Session]:
        return self.store.iter_sessions(app_name=app_name, user_id=user_id, page_size=PAGE)

    @override
    def stream(self, key: SessionKey) -> StreamedSession | None:
        return stream_session(self.store, app_name=key.app_name, user_id=key.user_id, session_id=key.session_id)

    @override
    def shared_states(self, app_name: str, user_id: str | None = None) -> Iterator[SharedStateItem]:
        if user_id is not None:
            yield SharedStateItem(app_name, user_id, self.shared_state(app_name, user_id))
            return
        for user, state in self.store.archive.user_states(app_name):
            yield SharedStateItem(app_name, user, state)
        yield SharedStateItem(app_name, None, self.shared_state(app_name, None))

    @override
    def shared_state(self, app_name: str, user_id: str | None) -> Mapping[str, Any]:
        if user_id is None:
            return self.store.archive.app_state(app_name)
        return dict(self.store.archive.user_states(app_name, user_id)).get(user_id, {})

    @override
    def restore(self, session: Session, events: Iterable[Event]) -> Restored:
        return restore_session(self.store, session, events)

    @override
    def write_shared_state(self, app_name: str, user_id: str | None, state: Mapping[str, Any]) -> None:
        write_shared_state(self.store, app_name=app_name, user_id=user_id, state=state)

    @override
    def delete(self, key: SessionKey) -> None:
        self.store.delete_session(app_name=key.app_name, user_id=key.user_id, session_id=key.session_id)

    @override
    def discard(self, key: SessionKey) -> None:
        self.store.archive.discard(key)

    @override
    def close(self) -> None:
        if self._owns_store:
            self.store.close()


def store_of(place: Place, what: str) -> SessionStore:
    """Returns the store behind a place.

    Args:
        place: Where sessions are.
        what: What only our stores can do, for the error.

    Raises:
        ConfigurationError: It is a service of ADK's or somebody else's.
    """
    if isinstance(place, StorePlace):
        return place.store
    raise ConfigurationError(f"{what} only in this package's stores.")
