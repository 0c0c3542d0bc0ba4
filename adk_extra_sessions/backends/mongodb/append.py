"""The write path: one batch for all appends of known revision; what it does not store follows one by one."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from pymongo.errors import ConnectionFailure

from adk_extra_sessions.backends.mongodb.batched_append import BatchedAppend
from adk_extra_sessions.backends.mongodb.checked_append import CheckedAppend
from adk_extra_sessions.backends.mongodb.ongoing import OngoingAppend
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.records import AppendOutcome, AppendRequest


@frozen
class AppendPath:
    """The write path of a MongoDB store."""

    batched: BatchedAppend
    checked: CheckedAppend

    def append(self, requests: Sequence[AppendRequest]) -> list[AppendOutcome]:
        """Stores requests; see `Backend.append`."""
        appends = [OngoingAppend(request) for request in requests]
        outcomes: list[AppendOutcome | None] = [None] * len(requests)
        batches: dict[bool, list[int]] = {}
        for index, one in enumerate(appends):
            if one.request.expected is not None and one.is_small:
                batches.setdefault(one.shares, []).append(index)
        for shares, chosen in batches.items():
            done = self._batch([appends[index] for index in chosen], shares)
            for index, outcome in zip(chosen, done, strict=True):
                outcomes[index] = outcome
        left = [one for one, outcome in zip(appends, outcomes, strict=True) if outcome is None]
        rest = iter(self._one_by_one(left))
        return [next(rest) if outcome is None else outcome for outcome in outcomes]

    def _batch(self, appends: Sequence[OngoingAppend], shares: bool) -> Sequence[AppendOutcome | None]:
        try:
            return self.batched.store(appends, shares)
        except Exception as error:
            if _is_unreachable(error):
                raise
            return [AppendOutcome(error=error)] * len(appends)

    def _one_by_one(self, appends: Sequence[OngoingAppend]) -> list[AppendOutcome]:
        outcomes = []
        unreachable: Exception | None = None
        for one in appends:
            try:
                if unreachable is not None:
                    raise unreachable
                outcomes.append(self._singly(one))
            except Exception as error:
                outcomes.append(AppendOutcome(error=error))
                # The others need not wait out the same timeout one by one.
                if _is_unreachable(error):
                    unreachable = error
        return outcomes

    @retried
    def _singly(self, one: OngoingAppend) -> AppendOutcome:
        stored = self.batched.alone(one) if one.request.expected is None and one.is_small else None
        return stored or self.checked.store(one)


def _is_unreachable(error: Exception) -> bool:
    return isinstance(error, ConnectionFailure) or bool(getattr(error, "timeout", False))
