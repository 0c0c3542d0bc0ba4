"""The async services: the methods of `BasicService`, and those to manage sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from google.adk.sessions.base_session_service import GetSessionConfig
from typing_extensions import override

from adk_extra_sessions.aio.basic_service import BasicService
from adk_extra_sessions.details import UNSET, SessionDetails, Unset
from adk_extra_sessions.erasing import ErasureReceipt
from adk_extra_sessions.pruning import Pruned, Pruning
from adk_extra_sessions.session import Session, SessionsPage
from adk_extra_sessions.telemetry import traced


class SessionService(BasicService):
    """A session service that calls a store in worker threads. Any number of event loops may share it.

    Args:
        store: The store.
        owns_store: Whether closing the service closes the store.
    """

    @traced
    async def get_or_create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        state: dict[str, Any] | None = None,
        config: GetSessionConfig | None = None,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | timedelta | str | Unset | None = UNSET,
        expire_time: float | datetime | str | Unset | None = UNSET,
    ) -> Session:
        """Reads a session, or creates it if it does not exist; callers at the same moment get the same session.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id.
            state: Its initial state if it is created, as for `create_session`.
            config: Which events to read if it exists, as for `get_session`.
            display_name: A name to show to people.
            labels: Names and short texts to find it by, such as `{"topic": "returns"}`.
            ttl: How long after its last write it expires; None for never.
            expire_time: When it expires; None for never.

        Raises:
            InputValidationError: An argument is wrong.
            StateValueError: A state value has no JSON form.
        """
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        details = {"display_name": display_name, "labels": labels, "ttl": ttl, "expire_time": expire_time}
        return await self._run(self.store.get_or_create_session, state=state, config=config, **names, **details)

    @traced
    async def update_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        display_name: str | Unset | None = UNSET,
        labels: Mapping[str, str] | Unset | None = UNSET,
        ttl: float | timedelta | str | Unset | None = UNSET,
        expire_time: float | datetime | str | Unset | None = UNSET,
    ) -> SessionDetails:
        """Changes a session's display name, labels or expiry, as `SessionStore.update_session` does.

        What is not given stays as it is.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id.
            display_name: Its new name; None removes it.
            labels: Its new labels, which replace all that it has; None removes them.
            ttl: How long after its last write it expires; this call counts as a write. None for never.
            expire_time: When it expires; None for never.

        Returns:
            Its details after the change.

        Raises:
            SessionNotFoundError: There is no such session.
            InputValidationError: An argument is wrong, or both `ttl` and `expire_time` are given.
        """
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        changes = {"display_name": display_name, "labels": labels, "ttl": ttl, "expire_time": expire_time}
        return await self._run(self.store.update_session, **names, **changes)

    @override
    @traced
    async def list_sessions(
        self,
        *,
        app_name: str,
        user_id: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
        order_by: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> SessionsPage:
        """Lists sessions with their merged state and without events, as `SessionStore.list_sessions` does.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for the sessions of all users.
            page_size: How many sessions a page has at most; None for all sessions at once.
            page_token: `next_page_token` of the previous page of the same query; None for the first page.
            order_by: "update_time" for the oldest first, "update_time desc" for
                the newest first; both need `user_id`. With None, pages are in any order,
                and a whole list is sorted by `last_update_time`, `user_id` and `id`.
            labels: Only sessions that have all of these labels.

        Raises:
            InputValidationError: An argument is wrong, or the token belongs to another query.
        """
        names = {"app_name": app_name, "user_id": user_id, "labels": labels}
        page = {"page_size": page_size, "page_token": page_token, "order_by": order_by}
        return await self._run(self.store.list_sessions, **names, **page)

    def iter_sessions(
        self,
        *,
        app_name: str,
        user_id: str | None = None,
        page_size: int = 100,
        labels: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Session]:
        """Iterates over sessions with `async for`, as `SessionStore.iter_sessions` does.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for all users.
            page_size: About how many sessions to read at once.
            labels: Only sessions that have all of these labels.

        Raises:
            InputValidationError: An argument is wrong.
        """
        names = {"app_name": app_name, "user_id": user_id, "labels": labels}
        return self._each(self.store.iter_sessions(page_size=page_size, **names), page_size)  # type: ignore[arg-type]

    async def _each(self, sessions: Iterator[Session], page_size: int) -> AsyncIterator[Session]:
        while page := await self._run(lambda: list(islice(sessions, page_size))):
            for session in page:
                yield session

    @traced
    async def count_sessions(
        self, *, app_name: str, user_id: str | None = None, labels: Mapping[str, str] | None = None
    ) -> int:
        """Counts sessions.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for all users.
            labels: Only sessions that have all of these labels.

        Raises:
            InputValidationError: An argument is wrong.
        """
        return await self._run(self.store.count_sessions, app_name=app_name, user_id=user_id, labels=labels)

    @traced
    async def prune_sessions(
        self,
        *,
        app_name: str,
        user_id: str | None = None,
        before: float | datetime | timedelta | str | None = None,
        keep_last: int | None = None,
        labels: Mapping[str, str] | None = None,
        dry_run: bool = False,
        progress: Callable[[Pruned], object] | None = None,
    ) -> Pruned:
        """Deletes sessions by age or number, as `SessionStore.prune_sessions` does; can be cancelled between steps.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for all users.
            before: Only sessions last updated before this: seconds since the
                epoch, a datetime with a time zone or its text in ISO 8601; or
                how long ago: a timedelta or a text such as "30d".
            keep_last: How many of each user's newest sessions to keep, not counting those without the labels.
            labels: Only sessions that have all of these labels.
            dry_run: Whether only to count what would be deleted.
            progress: Called after each step with the numbers so far; an exception that it raises ends the pruning.

        Raises:
            InputValidationError: An argument is wrong, or none of `before`, `keep_last` and `labels` is given.
        """
        operated = self.store.backend, self.store.operation
        steps = Pruning.of(*operated, app_name, user_id, before, keep_last, labels, dry_run).steps()
        so_far = Pruned()
        while (step := await self._run(partial(next, steps, None))) is not None:
            so_far = step
            if progress is not None:
                progress(so_far)
        return so_far

    @traced
    async def delete_user(self, *, app_name: str, user_id: str) -> ErasureReceipt:
        """Deletes everything of a user, as `SessionStore.delete_user` does.

        Args:
            app_name: The app's name.
            user_id: The user's id.

        Returns:
            What was deleted, and when: for your records.
        """
        return await self._run(self.store.delete_user, app_name=app_name, user_id=user_id)

    @traced
    async def delete_app(self, *, app_name: str) -> ErasureReceipt:
        """Deletes everything of an app and of all its users, as `SessionStore.delete_app` does.

        Args:
            app_name: The app's name.

        Returns:
            What was deleted, and when: for your records.
        """
        return await self._run(self.store.delete_app, app_name=app_name)
