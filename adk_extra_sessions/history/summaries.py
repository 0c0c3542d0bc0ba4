"""Summaries that ADK's compaction has appended, and the events that they replace in a request to the model."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from attrs import frozen
from google.adk.events import Event
from google.adk.sessions import Session


@frozen
class _Summary:
    index: int
    start: float
    end: float


def is_summary(event: Event) -> bool:
    """Whether an event is a summary of others."""
    return event.actions.compaction is not None


def would_replace_others(session: Session, event: Event) -> bool:
    """Whether an event is a summary that begins before others of a session, and ends after them."""
    return bool(_others_within(session, event))


def begin_after_others(session: Session, event: Event) -> None:
    """Makes a summary begin after others that it would otherwise replace.

    After a late answer to a call, ADK summarises all that is loaded since the
    call: its summary would replace others whose events are not loaded.
    """
    others = _others_within(session, event)
    compaction = event.actions.compaction
    if compaction is not None and others:
        end = max(others)
        later = [one.timestamp for one in session.events if one.timestamp > end]
        compaction.start_timestamp = min([*later, compaction.end_timestamp])


def _others_within(session: Session, event: Event) -> list[float]:
    """Returns the ends of a session's summaries that begin after a new one, and end no later.

    One that begins when the last one does was made of it.
    """
    new = event.actions.compaction
    if new is None:
        return []
    scope = _scope(event)
    found = [one.actions.compaction for one in session.events if _scope(one) == scope]
    within = [one for one in found if one is not None and new.start_timestamp < one.start_timestamp]
    return [one.end_timestamp for one in within if one.end_timestamp <= new.end_timestamp]


def not_summarised(events: Sequence[Event], chosen: Iterable[int]) -> list[int]:
    """Returns the indexes of the events that no summary replaces, and of the summaries that are in use.

    A summary replaces what is between its times and has the same isolation
    scope. A summary within the times of another is not in use.

    Args:
        events: A history in order.
        chosen: The indexes of those to look at, ascending.
    """
    chosen = list(chosen)
    by_scope: defaultdict[str | None, list[_Summary]] = defaultdict(list)
    for index in chosen:
        compaction = events[index].actions.compaction
        if compaction is not None and _replaces_for_all(events[index]):
            summary = _Summary(index, compaction.start_timestamp, compaction.end_timestamp)
            by_scope[_scope(events[index])].append(summary)
    in_use = {index for summaries in by_scope.values() for index in _in_use(summaries)}
    replaced = {scope: _Times.of(summaries) for scope, summaries in by_scope.items()}
    left = []
    for index in chosen:
        event = events[index]
        if is_summary(event):
            if index in in_use or not _replaces_for_all(event):
                left.append(index)
        elif (times := replaced.get(_scope(event))) is None or event.timestamp not in times:
            left.append(index)
    return left


def _replaces_for_all(event: Event) -> bool:
    """Whether a summary replaces events, and for every agent of its isolation scope.

    It replaces nothing if its times are in the wrong order, or one of them is NaN.
    """
    new = event.actions.compaction
    seen_by_some = event.branch or event.node_info.path or event.get_function_calls() or event.get_function_responses()
    return new is not None and new.start_timestamp <= new.end_timestamp and not seen_by_some


def _scope(event: Event) -> str | None:
    return event.isolation_scope


def _in_use(summaries: Sequence[_Summary]) -> set[int]:
    """Returns the indexes of those that no other contains, and of the newest, by which ADK times the next one."""
    in_use = {summaries[-1].index}
    furthest: float | None = None
    for one in sorted(summaries, key=lambda one: (one.start, -one.end, -one.index)):
        if furthest is None or one.end > furthest:
            in_use.add(one.index)
            furthest = one.end
    return in_use


@frozen
class _Times:
    """Spans of time, none of which touches another, in order."""

    starts: Sequence[float]
    ends: Sequence[float]

    @classmethod
    def of(cls, summaries: Iterable[_Summary]) -> _Times:
        starts: list[float] = []
        ends: list[float] = []
        for start, end in sorted((one.start, one.end) for one in summaries):
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        return cls(starts, ends)

    def __contains__(self, time: float) -> bool:
        index = bisect_right(self.starts, time) - 1
        return index >= 0 and time <= self.ends[index]
