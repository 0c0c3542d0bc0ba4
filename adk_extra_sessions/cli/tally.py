"""Reports the results of a copy on standard error: progress, problems, and totals at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from typing_extensions import Self

from adk_extra_sessions.cli.output import clean
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.transfer import Outcome, Place, Result, SharedStateItem
from adk_extra_sessions.transfer.opening import resolved

SHOWN = 20
"""How many problems are shown; the others are counted."""


def counted(place: Place, url: str, app_names: Sequence[str], user_ids: Sequence[str]) -> int:
    """Counts the sessions to copy.

    Args:
        place: The source.
        url: Its URL, for error messages.
        app_names: All apps to copy.
        user_ids: Only these users.

    Raises:
        ConfigurationError: There are no sessions, or a given app or user has no sessions and no state.
    """
    where = redact(resolved(url))
    if not app_names:
        raise ConfigurationError(f"There are no sessions in {where}: no app has stored anything there.")
    found_users = set()
    with Work("counting") as work:
        for app_name in app_names:
            found_app = False
            for user_id in user_ids or (None,):
                before = work.done
                for _ in place.keys(app_name, user_id):
                    work.step()
                if work.done > before or (user_id is not None and place.shared_state(app_name, user_id)):
                    found_app = True
                    found_users.add(user_id)
            if not found_app and not place.has_app(app_name):
                raise ConfigurationError(f"There is no app {app_name!r} in {where}: it has no sessions and no state.")
        total = work.done
    for user_id in user_ids:
        if user_id not in found_users:
            apps = ", ".join(map(repr, app_names))
            raise ConfigurationError(
                f"There is no user {user_id!r} in {where}: the user has no sessions and no state in {apps}."
            )
    return total


class Tally:
    """Counts the results for sessions."""

    def __init__(self, what: str) -> None:
        """Starts at zero.

        Args:
            what: What is done with each session, in the past tense.
        """
        self._what = what
        self._outcomes: Counter[Outcome] = Counter()
        self._events = 0
        self._problems = 0

    @property
    def sessions(self) -> int:
        """How many sessions there were, with any result."""
        return sum(self._outcomes.values())

    @property
    def well(self) -> bool:
        """Whether nothing failed and nothing differs."""
        return not self._problems

    def run(self, results: Iterable[Result], total: int | None) -> Self:
        """Counts all results and reports them.

        Args:
            results: From a copy, a dry run or a comparison.
            total: How many sessions there are; None if that is not known.
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
            if self._problems <= SHOWN:
                more = f"; and {len(result.problems) - 3} more" if len(result.problems) > 3 else ""
                problems = "; ".join(result.problems[:3]) + more
                name = _name(result)
                work.say(clean(problems if problems.startswith(name) else f"{name}: {problems}"))
        if not shared:
            self._outcomes[result.outcome] += 1
            self._events += result.events
            work.step()

    def _tell(self, work: Work) -> None:
        if self._problems > SHOWN:
            work.say(f"{self._problems - SHOWN:,} more problems are not shown.")
        parts = ", ".join(f"{count:,} {outcome.value}" for outcome, count in sorted(self._outcomes.items(), key=str))
        sessions = f"{self.sessions:,} sessions ({parts or 'none'})"
        work.say(f"{self._what} {sessions} and {self._events:,} events, {work.pace()}")


def _name(result: Result) -> str:
    item = result.item
    if not isinstance(item, SharedStateItem):
        return str(item.key)
    return f"State of {'app' if item.user_id is None else f'user {item.user_id!r} in app'} {item.app_name!r}"
