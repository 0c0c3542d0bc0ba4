"""The newest part of a history, begun where a turn begins, with the calls before it that still wait."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from google.adk.events import Event

from adk_extra_sessions.history.calls import Calls, response_ids
from adk_extra_sessions.history.needed import with_counterparts
from adk_extra_sessions.history.rewinds import live
from adk_extra_sessions.history.summaries import is_summary


@frozen
class Newest:
    """Indexes of events, ascending.

    Attributes:
        chosen: The newest ones, and those with calls that wait, with their turns.
        waiting: Of all that was read, those with calls that wait, with their turns.
    """

    chosen: Sequence[int]
    waiting: Sequence[int]


def newest(events: Sequence[Event], earlier: int, wanted: int, *, complete: bool) -> Newest | None:
    """Chooses at least `wanted` of the newest events, and calls that wait, with their turns.

    Args:
        events: What was read of a history, in order.
        earlier: How many of these are there only for the calls in them; from
            there on, none is missing.
        wanted: How many to choose at least.
        complete: Whether no event of the history is missing.

    Returns:
        None if they are not all in `events`.
    """
    if complete:
        earlier, there = 0, live(events)
    else:
        window = live(events[earlier:], complete=False)
        there = [*range(earlier), *(earlier + index for index in window)]
    recent = [index for index in there if index >= earlier]
    begin = _begin(events, recent, wanted)
    if begin is None and not complete:
        return None
    calls = Calls.of(events, there)
    waiting = calls.turns_that_wait()
    found = with_counterparts(events, {*recent[begin or 0 :], *waiting}, calls)
    chosen = [index for index in sorted(found) if not _is_orphan(events[index], index, calls)]
    return Newest(chosen, sorted(waiting))


def _begin(events: Sequence[Event], recent: Sequence[int], wanted: int) -> int | None:
    """Returns the last place in `recent` at which a turn begins and enough events follow."""
    last = len(recent) - wanted
    begin = before = None
    for place, index in enumerate(recent[: max(0, last + 1)]):
        event = events[index]
        if is_summary(event):
            continue
        if before is not None and event.invocation_id != before and not response_ids(event):
            begin = place
        before = event.invocation_id
    return begin


def _is_orphan(event: Event, index: int, calls: Calls) -> bool:
    """Whether an event is a response and nothing else, to calls that were not read."""
    return bool(response_ids(event)) and not event.get_function_calls() and not calls.callers.get(index)
