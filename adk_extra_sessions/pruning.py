"""Deleting sessions by age or number, while others write to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from operator import attrgetter

from attrs import define, evolve, field, frozen
from typing_extensions import Self

from adk_extra_sessions.abilities import managed
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.listing import Listing
from adk_extra_sessions.records import SessionRecord
from adk_extra_sessions.validation import checked_before, checked_number

PAGE = 200
"""Sessions that are read at once."""


@frozen
class Pruned:
    """What pruning has done.

    Attributes:
        examined: How many sessions it looked at.
        deleted: How many of them it deleted, or with `dry_run` would have deleted.
        changed: How many it did not delete because others wrote to them, or deleted them, at the same moment.
    """

    examined: int = 0
    deleted: int = 0
    changed: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(self.examined + other.examined, self.deleted + other.deleted, self.changed + other.changed)


@frozen
class Pruning:
    """Which sessions to delete.

    Attributes:
        listing: The sessions to look at. Unless `keep_last` is 0, they are in the order of storage.
        before: Only sessions whose last update is before this time; None for any.
        keep_last: How many of each user's newest sessions to keep.
        dry_run: Whether nothing is deleted.
    """

    listing: Listing
    before: float | None = None
    keep_last: int = 0
    dry_run: bool = False

    @classmethod
    def of(
        cls,
        backend: Backend,
        operation: Callable[[str], AbstractContextManager[None]],
        app_name: object,
        user_id: object,
        before: object,
        keep_last: object,
        labels: object,
        dry_run: bool,
    ) -> Self:
        """Makes a pruning of a caller's arguments.

        Raises:
            InputValidationError: An argument is wrong, or everything would be deleted.
        """
        if before is None and keep_last is None and not labels:
            raise InputValidationError(
                "Give before, keep_last or labels; delete_user and delete_app delete everything."
            )
        kept = 0 if keep_last is None else checked_number("keep_last", keep_last, 0)
        until = checked_before(before)
        # The oldest first, the rest need not even be read.
        order_by = "update_time" if until is not None and kept == 0 and user_id is not None else None
        listing = Listing.of(backend, operation, app_name, user_id, labels, PAGE, order_by)
        return cls(evolve(listing, query=evolve(listing.query, with_state=False)), until, kept, dry_run)

    def steps(self) -> Iterator[Pruned]:
        """Deletes the sessions, and yields the numbers so far now and then.

        A session is deleted only at the revision at which it was read. So several processes may
        prune at the same time, and a session that is written to meanwhile stays.

        Raises:
            ConfigurationError: The backend cannot prune.
        """
        backend = managed(self.listing.backend)
        newest = _Newest(self.keep_last)
        so_far = Pruned()
        for page in self.listing.pages():
            for record in page:
                judged = newest.replaced_by(record)
                so_far = evolve(so_far, examined=so_far.examined + 1)
                if judged is None or not self._is_old(judged):
                    continue
                deleted = self.dry_run
                if not deleted:
                    with self.listing.operation("prune_sessions"):
                        deleted = backend.delete_unchanged(judged.key, judged.revision)
                so_far = evolve(so_far, deleted=so_far.deleted + deleted, changed=so_far.changed + (not deleted))
            yield so_far
            if self.listing.query.order == "update_time" and not self._is_old(page[-1]):
                return  # all that follow are newer

    def _is_old(self, record: SessionRecord) -> bool:
        return self.before is None or record.last_update_time < self.before


@define
class _Newest:
    """The newest sessions of the user whose sessions are being read."""

    number: int
    user_id: str | None = None
    held: dict[str, SessionRecord] = field(factory=dict)

    def replaced_by(self, record: SessionRecord) -> SessionRecord | None:
        """Adds a session; returns the one that is no longer among the newest, if there is one."""
        if record.key.user_id != self.user_id:
            self.user_id, self.held = record.key.user_id, {}
        self.held[record.key.session_id] = record  # one that comes again counts once
        if len(self.held) <= self.number:
            return None
        oldest = min(self.held.values(), key=attrgetter("last_update_time"))
        return self.held.pop(oldest.key.session_id)
