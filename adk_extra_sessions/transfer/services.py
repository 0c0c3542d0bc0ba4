"""Any ADK session service as a place: runs its async methods in an event loop in a thread.

Such a service can only create sessions and append events. `verify_items` reports what
it cannot store exactly, such as the order of events whose timestamps are not in order.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal
from google.adk.events import Event
from google.adk.platform import time as platform_time
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from typing_extensions import override

from adk_extra_sessions.errors import AlreadyExistsError, ConfigurationError, SessionConflictError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state import ScopedState, split
from adk_extra_sessions.transfer.comparing import events_to_copy
from adk_extra_sessions.transfer.items import SharedStateItem
from adk_extra_sessions.transfer.places import Place
from adk_extra_sessions.transfer.restoring import Restored, Status
from adk_extra_sessions.transfer.sql_apps import SqlApps
from adk_extra_sessions.transfer.streams import StreamedSession

TEMPORARY = "adk-sessions"
"""The id of the session that is created to set shared state, and of its user if the app has none."""


class NoUserError(ValueError):
    """A service cannot set an app's state, since the app has no user."""


class ServicePlace(Place):
    """Any ADK session service. Keeps one whole session, and the list of an app's sessions, in memory."""

    jobs = 1  # SQLite has one writer; for other databases, nothing is known

    def __init__(
        self,
        service: BaseSessionService,
        portal: BlockingPortal,
        running: AbstractContextManager[Any] | None = None,
        apps: SqlApps | None = None,
    ) -> None:
        """Wraps a service.

        Args:
            service: The service.
            portal: Runs its methods, always in the same event loop.
            running: Ends the portal's event loop; if given, closing the place closes the service and the loop.
            apps: Lists the apps, which the service itself cannot do.
        """
        self.service = service
        self._portal = portal
        self._running = running
        self._apps = apps
        self._users: dict[str, str] = {}

    @override
    def app_names(self) -> Iterator[str]:
        if self._apps is None:
            raise ConfigurationError(f"{type(self.service).__name__} cannot list its apps: give them with --app.")
        return iter(self._portal.call(self._apps.names))

    @override
    def keys(self, app_name: str, user_id: str | None = None) -> Iterator[SessionKey]:
        return (SessionKey(app_name, session.user_id, session.id) for session in self.sessions(app_name, user_id))

    @override
    def sessions(self, app_name: str, user_id: str | None = None) -> Iterator[Session]:
        arguments = {"app_name": app_name} if user_id is None else {"app_name": app_name, "user_id": user_id}
        try:
            inspect.signature(self.service.list_sessions).bind(**arguments)
        except TypeError:
            name = type(self.service).__name__
            raise ConfigurationError(
                f"{name} can only list the sessions of one user: give the users with --user."
            ) from None
        found = self._portal.call(partial(self.service.list_sessions, **arguments)).sessions
        found.sort(key=lambda session: session.user_id)
        return iter(found)

    @override
    def stream(self, key: SessionKey) -> StreamedSession | None:
        session = self._get(key)
        if session is None:
            return None
        return StreamedSession(session.model_copy(update={"events": []}), len(session.events), iter(session.events))

    @override
    def shared_states(self, app_name: str, user_id: str | None = None) -> Iterator[SharedStateItem]:
        app: Mapping[str, Any] | None = None
        for user, scoped in self._scoped_states(app_name, user_id):
            app = scoped.app
            yield SharedStateItem(app_name, user, scoped.user)
        if app is not None and user_id is None:
            yield SharedStateItem(app_name, None, app)

    def _scoped_states(self, app_name: str, user_id: str | None) -> Iterator[tuple[str, ScopedState]]:
        """Yields each user who has a session, with the state as one of the user's sessions has it."""
        done: str | None = None
        for listed in self.sessions(app_name, user_id):
            if listed.user_id == done:
                continue
            session = self._get(SessionKey(app_name, listed.user_id, listed.id), GetSessionConfig(num_recent_events=0))
            if session is not None:
                done = listed.user_id
                yield done, split(session.state)

    @override
    def shared_state(self, app_name: str, user_id: str | None) -> Mapping[str, Any]:
        if user_id is not None:
            with suppress(AttributeError, NotImplementedError):  # older services, and older ADK, do not have it
                read = partial(self.service.get_user_state, app_name=app_name, user_id=user_id)
                found: Mapping[str, Any] = self._portal.call(read)
                return found
        for _, scoped in self._scoped_states(app_name, user_id):
            return scoped.app if user_id is None else scoped.user
        return {}

    @override
    def restore(self, session: Session, events: Iterable[Event]) -> Restored:
        key = SessionKey(session.app_name, session.user_id, session.id)
        live = self._get(key)
        status, coming = Status.SAME, iter(events)
        if live is None:
            live = self._create(key, split(session.state).session, session.last_update_time)
            status = Status.CREATED
        else:
            coming = events_to_copy(session, events, live, list(live.events))
        self._users[key.app_name] = key.user_id
        app_before, changed = split(live.state).app, set[str]()
        written = 0
        for event in coming:
            changed |= split(event.actions.state_delta).app.keys()
            self._portal.call(self.service.append_event, live, event)
            written += 1
        # Appending has set the app's state to values in old events; set it back.
        self.write_shared_state(key.app_name, None, {name: app_before[name] for name in changed & app_before.keys()})
        return Restored(Status.CONTINUED if status is Status.SAME and written else status, written)

    @override
    def write_shared_state(self, app_name: str, user_id: str | None, state: Mapping[str, Any]) -> None:
        if not state:
            return
        # Only a session or an event can change it, so a session is created for it and deleted at once.
        owner = self._some_user(app_name) if user_id is None else user_id
        scope = "app:" if user_id is None else "user:"
        key = SessionKey(app_name, owner, TEMPORARY)
        named = {scope + raw: value for raw, value in state.items()}
        try:
            live = self._create(key, named, time.time())
        except AlreadyExistsError:
            found = self._get(key)
            if found is not None and (found.events or split(found.state).session):
                # Not left behind by a copy that was killed.
                raise SessionConflictError(
                    TEMPORARY, owner, "this id is reserved for a temporary session that sets shared state"
                ) from None
            self.delete(key)
            live = self._create(key, named, time.time())
        self.delete(SessionKey(app_name, owner, live.id))
        self._users[app_name] = owner

    def _some_user(self, app_name: str) -> str:
        """Returns a user of an app, so that no other user has to be created to set the app's state."""
        if app_name not in self._users:
            listed = next(self.sessions(app_name), None)
            if listed is None and hasattr(self.service, "db_engine"):
                name = type(self.service).__name__
                raise NoUserError(
                    f"{name} cannot set the app's state without a user, whose row it would keep forever, "
                    "and the app has no user there."
                )
            self._users[app_name] = TEMPORARY if listed is None else listed.user_id
        return self._users[app_name]

    @override
    def delete(self, key: SessionKey) -> None:
        names = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        self._portal.call(partial(self.service.delete_session, **names))

    @override
    def close(self) -> None:
        if self._running is None:
            return
        close = getattr(self.service, "close", None)
        if close is not None:
            self._portal.call(_awaited, close)
        self._running.__exit__(None, None, None)

    def _create(self, key: SessionKey, state: Mapping[str, Any], at: float) -> Session:
        names = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        return self._portal.call(_at, at, partial(self.service.create_session, state=dict(state), **names))

    def _get(self, key: SessionKey, config: GetSessionConfig | None = None) -> Session | None:
        names = {"app_name": key.app_name, "user_id": key.user_id, "session_id": key.session_id}
        return self._portal.call(partial(self.service.get_session, config=config, **names))


async def _at(seconds: float, call: Callable[[], Awaitable[Session]]) -> Session:
    """Makes a call with ADK's clock set to a fixed time, which the service then stores."""
    platform_time.set_time_provider(lambda: seconds)  # of this task only
    return await call()


async def _awaited(close: Any) -> None:
    closing = close()
    if inspect.isawaitable(closing):
        await closing
