"""The blocking session store: the methods of `BasicStore`, and those to manage sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions.abilities import managed
from adk_extra_sessions.basic_store import BasicStore
from adk_extra_sessions.details import UNSET, Changes, SessionDetails, Unset
from adk_extra_sessions.erasing import ErasureReceipt, erase
from adk_extra_sessions.errors import (
    AlreadyExistsError,
    InputValidationError,
    SessionNotFoundError,
)
from adk_extra_sessions.listing import AT_ONCE, Listing
from adk_extra_sessions.pruning import Pruned, Pruning
from adk_extra_sessions.records import SessionKey, checked_name
from adk_extra_sessions.session import Session, SessionsPage
from adk_extra_sessions.telemetry import traced
from adk_extra_sessions.validation import (
    checked_changed_lifetime,
    checked_display_name,
    checked_labels,
    checked_number,
)

TRIES = 100
"""How often to look for a session, or else create it, while others delete and create it."""


class SessionStore(BasicStore):
    """A blocking session store: ADK's `BaseSessionService` without `await`, and methods to manage sessions.

    Threads may share it. As a context manager it closes itself at the end,
    and its client if it made that.

    Args:
        backend: The database that keeps the sessions.
        options: Options that do not depend on the database; None for the defaults.
        codec: Turns events into what is stored, and back; None for one that stores their JSON text.
    """

    @traced
    def get_or_create_session(
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
            AlreadyExistsError: Others deleted and created it again and again, always in between.
        """
        if not SessionKey.of(app_name, user_id, session_id).session_id:
            raise InputValidationError("session_id must not be blank.")
        names = {"app_name": app_name, "user_id": user_id, "session_id": session_id}
        details = {"display_name": display_name, "labels": labels, "ttl": ttl, "expire_time": expire_time}
        for _ in range(TRIES):
            if (session := self.get_session(**names, config=config)) is not None:
                return session
            with suppress(AlreadyExistsError):  # somebody else has just created it
                return self.create_session(**names, state=state, **details)  # type: ignore[arg-type]
        raise AlreadyExistsError(f"Session {session_id!r} is deleted and created again all the time by others.")

    @traced
    def update_session(
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
        """Changes a session's display name, labels or expiry; what is not given stays as it is.

        Events, state and `last_update_time` do not change: a `Session` that was
        loaded before does not become stale.

        Args:
            app_name: The app's name.
            user_id: The user's id.
            session_id: The session's id.
            display_name: Its new name; None removes it.
            labels: Its new labels, which replace all that it has; None removes them.
            ttl: How long after its last write it expires, as for `create_session`; this
                call counts as a write. None for never.
            expire_time: When it expires, as for `create_session`; None for never.

        Returns:
            Its details after the change.

        Raises:
            SessionNotFoundError: There is no such session.
            InputValidationError: An argument is wrong, or both `ttl` and `expire_time` are given.
        """
        key = SessionKey.of(app_name, user_id, session_id)
        changes = Changes(
            UNSET if display_name is UNSET else checked_display_name(display_name),
            UNSET if labels is UNSET else checked_labels(labels),
            checked_changed_lifetime(ttl, expire_time),
        )
        with self.operation("update_session"):
            details = managed(self.backend).update(key, changes)
        if details is None:
            raise SessionNotFoundError(f"Session {key.session_id!r} not found.")
        return details

    @traced
    def list_sessions(
        self,
        *,
        app_name: str,
        user_id: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
        order_by: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> SessionsPage:
        """Lists sessions with their merged state and without events: all at once, or with `page_size` in pages.

        Reading a page takes the same time however many sessions there are. A
        session that does not change meanwhile is on exactly one page. One that
        changes may be on two pages; with "update_time desc" it moves to the
        front and may be on none.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for the sessions of all users.
            page_size: How many sessions a page has at most; None for all sessions at once.
            page_token: `next_page_token` of the previous page of the same query; None for the first page.
            order_by: "update_time" for the oldest first, "update_time desc" for
                the newest first; both need `user_id`. With None, pages are in any order,
                and a whole list is sorted by `last_update_time`, `user_id` and `id`.
            labels: Only sessions that have all of these labels.

        Returns:
            The sessions. With `page_size`, `next_page_token` is None on the last page.

        Raises:
            InputValidationError: An argument is wrong, or the token belongs to another query.
        """
        if page_size is None and page_token is not None:
            raise InputValidationError("page_token needs page_size.")
        size = AT_ONCE if page_size is None else checked_number("page_size", page_size, 1)
        listing = self._listing(app_name, user_id, labels, size, order_by)
        return listing.whole() if page_size is None else listing.page(page_token)

    def iter_sessions(
        self,
        *,
        app_name: str,
        user_id: str | None = None,
        page_size: int = 100,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Session]:
        """Iterates over sessions, read as by `list_sessions`, without loading them all at once.

        They come in any order, each once, also if you append to them. A session
        that exists during the whole iteration is not missed.

        Args:
            app_name: The app's name.
            user_id: The user's id; None for all users.
            page_size: About how many sessions to read at once.
            labels: Only sessions that have all of these labels.

        Raises:
            InputValidationError: An argument is wrong.
        """
        return self._listing(app_name, user_id, labels, checked_number("page_size", page_size, 1)).iterate()

    @traced
    def count_sessions(
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
        query = self._listing(app_name, user_id, labels, 1).query
        with self.operation("count_sessions"):
            return managed(self.backend).count(query)

    @traced
    def prune_sessions(
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
        """Deletes sessions by age or number, with their events; the state of users and of the app stays.

        A session is deleted if all given conditions apply to it, and nobody
        writes to it meanwhile. Several processes may prune at the same time.

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
        so_far = Pruned()
        pruning = Pruning.of(self.backend, self.operation, app_name, user_id, before, keep_last, labels, dry_run)
        for so_far in pruning.steps():
            if progress is not None:
                progress(so_far)
        return so_far

    @traced
    def delete_user(self, *, app_name: str, user_id: str) -> ErasureReceipt:
        """Deletes everything of a user: sessions, events, state, turns and entries in indexes.

        If the agent is running for this user, its next append fails with
        `SessionNotFoundError` and stores nothing. If this call is interrupted,
        repeat it.

        Args:
            app_name: The app's name.
            user_id: The user's id.

        Returns:
            What was deleted, and when: for your records.
        """
        names = checked_name("app_name", app_name), checked_name("user_id", user_id)
        return self._erase("delete_user", *names)

    @traced
    def delete_app(self, *, app_name: str) -> ErasureReceipt:
        """Deletes everything of an app and of all its users, in the same way as `delete_user`.

        Args:
            app_name: The app's name.

        Returns:
            What was deleted, and when: for your records.
        """
        return self._erase("delete_app", checked_name("app_name", app_name), None)

    def _erase(self, operation: str, app_name: str, user_id: str | None) -> ErasureReceipt:
        with self.operation(operation):
            receipt = erase(self.backend, app_name, user_id)
        if self._cache is not None:
            self._cache.forget_all(app_name, user_id)
        return receipt

    def _listing(
        self, app_name: str, user_id: str | None, labels: object, size: int, order_by: object = None
    ) -> Listing:
        return Listing.of(self.backend, self.operation, app_name, user_id, labels, size, order_by)
