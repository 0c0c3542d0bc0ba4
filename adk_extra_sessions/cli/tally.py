"""Going through the results of a copy: progress, what went wrong, and a sum in the end. On standard error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from typing_extensions import Self

from adk_extra_sessions.cli.output import clean
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.codec import describe
from adk_extra_sessions.transfer import Outcome, Place, Result, SharedStateItem

TOLD = 20
"""Problems that are told one by one; the others are counted."""


def counted(place: Place, app_names: Iterable[str], user_ids: Sequence[str]) -> int:
    """Counts the sessions that are to be gone through."""
    with Work("counting") as work:
        for app_name in app_names:
            for user_id in user_ids or (None,):
                for _ in place.keys(app_name, user_id):
                    work.step()
        return work.done


class Tally:
    """What has become of the sessions so far."""

    def __init__(self, what: str) -> None:
        """Begins with nothing.

        Args:
            what: What is done with a session, in the past tense.
        """
        self._what = what
        self._outcomes: Counter[Outcome] = Counter()
        self._events = 0
        self._problems = 0

    @property
    def well(self) -> bool:
        """Whether nothing failed, and nothing differed."""
        return not self._problems

    def run(self, results: Iterable[Result], total: int | None) -> Self:
        """Goes through results, and tells of them.

        Args:
            results: Of a copy, plan or comparison.
            total: How many sessions there are; None when unknown.
        """
        with Work(self._what, total) as work:
            try:
                for result in results:
                    self._note(result, work)
            finally:
                self._tell(work)
        return self

    def _note(self, result: Result, work: Work) -> None:
        shared = isinstance(result.item, SharedStateItem)
        if result.problems:
            self._problems += 1
            if self._problems <= TOLD:
                more = f"; and {len(result.problems) - 3} more" if len(result.problems) > 3 else ""
                work.say(clean(f"{_name(result)}: {'; '.join(result.problems[:3])}{more}"))
        if not shared:
            self._outcomes[result.outcome] += 1
            self._events += result.events
            work.step()

    def _tell(self, work: Work) -> None:
        if self._problems > TOLD:
            work.say(f"… and {self._problems - TOLD:,} more.")
        parts = ", ".join(f"{count:,} {outcome.value}" for outcome, count in sorted(self._outcomes.items(), key=str))
        sessions = sum(self._outcomes.values())
        work.say(f"{self._what} {sessions:,} sessions ({parts or 'none'}) and {self._events:,} events, {work.pace()}")


def _name(result: Result) -> str:
    item = result.item
    if not isinstance(item, SharedStateItem):
        return describe(item.key)
    return f"State of {'app' if item.user_id is None else f'user {item.user_id!r} in app'} {item.app_name!r}"
