"""Lists of sessions: whole, in pages, or one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter

from attrs import evolve, frozen
from typing_extensions import Self

from adk_extra_sessions import telemetry
from adk_extra_sessions.abilities import managed
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.page_tokens import cursor_of, page_token
from adk_extra_sessions.queries import SessionQuery
from adk_extra_sessions.records import SessionRecord, checked_name
from adk_extra_sessions.session import Session, SessionsPage
from adk_extra_sessions.session_records import session_of
from adk_extra_sessions.validation import checked_labels, checked_order

AT_ONCE = 1000
"""Sessions that a whole list reads at once."""


@frozen
class Listing:
    """The sessions of one query.

    Attributes:
        operation: Makes the context manager of an operation, by its name.
    """

    backend: Backend
    operation: Callable[[str], AbstractContextManager[None]]
    query: SessionQuery

    @classmethod
    def of(
        cls,
        backend: Backend,
        operation: Callable[[str], AbstractContextManager[None]],
        app_name: object,
        user_id: object,
        labels: object,
        size: int,
        order_by: object = None,
    ) -> Self:
        """Makes a list of a caller's arguments.

        Raises:
            InputValidationError: An argument is wrong.
            ConfigurationError: Labels are given, and the backend keeps none.
        """
        app = checked_name("app_name", app_name)
        user = None if user_id is None else checked_name("user_id", user_id)
        query = SessionQuery(app, user, checked_labels(labels), checked_order(order_by, user), size)
        return cls(managed(backend) if query.labels else backend, operation, query)

    def page(self, token: object) -> SessionsPage:
        """Reads the page that a token names, or with None the first one. Every page but the last is full.

        Raises:
            InputValidationError: The token is not one of this query's.
        """
        cursor = None if token is None else cursor_of(token, self.query)
        records: list[SessionRecord] = []
        while True:
            query = evolve(self.query, size=self.query.size - len(records), after=cursor)
            with self.operation("list_sessions"):
                found = self.backend.list(query)
            records += found.records
            cursor = found.next
            if cursor is None or len(records) >= self.query.size:
                break
        following = None if cursor is None else page_token(self.query, cursor)
        return SessionsPage(sessions=[session_of(record, []) for record in records], next_page_token=following)

    def whole(self) -> SessionsPage:
        """Reads all sessions, in ADK's order unless the query has another."""
        met = (session_of(record, []) for page in self.pages() for record in page)
        sessions = list({(session.user_id, session.id): session for session in met}.values())  # each once
        descending = self.query.order == "update_time desc"
        sessions.sort(key=attrgetter("last_update_time", "user_id", "id"), reverse=descending)
        return SessionsPage(sessions=sessions)

    def iterate(self) -> Iterator[Session]:
        """Yields each session once, and reads page by page.

        Without that, a caller that appends to what it gets would get it again and again
        where sessions are stored by the time of their last update.
        """
        user, met = None, set[str]()
        for page in telemetry.pages(self.backend, "iter_sessions", self.pages()):
            for record in page:
                if record.key.user_id != user:  # a user's sessions come together
                    user, met = record.key.user_id, set()
                if record.key.session_id not in met:
                    met.add(record.key.session_id)
                    yield session_of(record, [])

    def pages(self) -> Iterator[Sequence[SessionRecord]]:
        """Yields stored sessions, page by page."""
        cursor = self.query.after
        while True:
            with self.operation("list_sessions"):
                found = self.backend.list(evolve(self.query, after=cursor))
            if found.records:
                yield found.records
            cursor = found.next
            if cursor is None:
                return
