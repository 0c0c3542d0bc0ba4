"""AppendPath on MongoDB: all at once where nothing stands in the way, else one by one with care."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from pymongo.errors import ConnectionFailure

from adk_extra_sessions.backends.mongodb.batched_append import BatchedAppend, is_quick
from adk_extra_sessions.backends.mongodb.checked_append import CheckedAppend
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import AppendOutcome, AppendRequest


@frozen
class AppendPath:
    """The write path of a MongoDB store."""

    quick: BatchedAppend
    careful: CheckedAppend

    def append(self, requests: Sequence[AppendRequest]) -> list[AppendOutcome]:
        """Stores requests; see `SessionStore._append`."""
        outcomes: list[AppendOutcome | None] = [None] * len(requests)
        quick: dict[bool, list[int]] = {}
        for index, request in enumerate(requests):
            if request.expected is not None and is_quick(request):
                quick.setdefault(_shares(request), []).append(index)
        for shares, chosen in quick.items():
            done = self._together([requests[index] for index in chosen], shares)
            for index, outcome in zip(chosen, done, strict=True):
                outcomes[index] = outcome
        left = [request for request, outcome in zip(requests, outcomes, strict=True) if outcome is None]
        rest = iter(self._one_by_one(left))
        return [next(rest) if outcome is None else outcome for outcome in outcomes]

    def _together(self, requests: Sequence[AppendRequest], shares: bool) -> Sequence[AppendOutcome | None]:
        try:
            return self.quick.together(requests, shares)
        except Exception as error:
            if _is_unreachable(error):
                raise
            return [AppendOutcome(error=error)] * len(requests)

    def _one_by_one(self, requests: Sequence[AppendRequest]) -> list[AppendOutcome]:
        outcomes = []
        unreachable: Exception | None = None
        for request in requests:
            try:
                if unreachable is not None:
                    raise unreachable
                outcomes.append(self._singly(request))
            except (KeyError, TypeError, AttributeError):
                damaged = CorruptRecordError(f"{describe(request.key)} cannot be used: its document is damaged.")
                outcomes.append(AppendOutcome(error=damaged))
            except Exception as error:
                outcomes.append(AppendOutcome(error=error))
                # The others need not wait out the same timeout one by one.
                if _is_unreachable(error):
                    unreachable = error
        return outcomes

    @retried
    def _singly(self, request: AppendRequest) -> AppendOutcome:
        quickly = self.quick.alone(request) if request.expected is None and is_quick(request) else None
        return quickly or self.careful.store(request)


def _shares(request: AppendRequest) -> bool:
    """Whether a request changes the app's or the user's state."""
    return any(event.state.app or event.state.user for event in request.events)


def _is_unreachable(error: Exception) -> bool:
    return isinstance(error, ConnectionFailure) or bool(getattr(error, "timeout", False))
