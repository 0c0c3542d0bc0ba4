"""What ADK needs of a history with summaries, to send the model the same as with all of it.

ADK leaves out what a summary replaces. Some of it is needed all the same: a call
whose response no summary replaces, a call that waits for its answer, the
newest of those turns (ADK's next summary overlaps the last one), and the events that show which
agent spoke last.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import islice

from google.adk.events import Event

from adk_extra_sessions.history.calls import Calls, run_ids
from adk_extra_sessions.history.rewinds import live
from adk_extra_sessions.history.summaries import is_summary, not_summarised

OVERLAP_TURNS = 3
"""Newest of the summarised turns that are needed all the same: ADK's next summary may begin with them."""

OVERLAP_EVENTS = 60
"""Events in them at most."""


def needed(events: Sequence[Event]) -> list[int]:
    """Returns the indexes of the events that ADK needs, ascending.

    Args:
        events: A history in order, from its first event on; or at least what was
            needed of its beginning, and all that came later.
    """
    there = live(events)
    calls = Calls.of(events, there)
    left = not_summarised(events, there)
    found = {*left, *_newest_summarised(events, there, set(left)), *_last_words(events, there)}
    found |= calls.turns_that_wait()
    found |= _ends_of_tasks(events, there, {events[index].isolation_scope for index in left})
    return sorted(with_counterparts(events, found, calls))


def with_counterparts(events: Sequence[Event], found: Iterable[int], calls: Calls) -> set[int]:
    """Adds to some events the calls that they answer or run for, and the responses to their calls.

    With a user's answer comes the whole turn of the call: an agent without history begins where that turn did.

    Args:
        events: The history in order.
        found: The indexes of the events.
        calls: The calls of the history.
    """
    complete: set[int] = set()
    waiting = list(found)
    while waiting:
        index = waiting.pop()
        if index in complete:
            continue
        complete.add(index)
        event = events[index]
        waiting += calls.responses.get(index, ())
        for caller in calls.callers.get(index, ()):
            waiting += calls.turns[caller] if event.author == "user" else [caller]
        # An agent with a task of its own has the id of the call that handed it over as its scope.
        named = [*run_ids(event), *([event.isolation_scope] if event.isolation_scope else [])]
        waiting += [calls.named[one] for one in named if one in calls.named]
    return complete


def _newest_summarised(events: Sequence[Event], there: Sequence[int], left: Container[int]) -> list[int]:
    """Returns the newest turns among what summaries replace."""
    replaced = (index for index in reversed(there) if index not in left and not is_summary(events[index]))
    newest: list[int] = []
    turns = 0
    for index in islice(replaced, OVERLAP_EVENTS):
        if not newest or events[index].invocation_id != events[newest[-1]].invocation_id:
            turns += 1
        if turns > OVERLAP_TURNS:
            break
        newest.append(index)
    return newest


def _last_words(events: Sequence[Event], there: Sequence[int]) -> Iterable[int]:
    """Returns the newest event of each author: ADK looks there for caches, interactions and who is speaking."""
    last: dict[object, int] = {}
    for index in there:
        event = events[index]
        if is_summary(event):
            continue
        last[event.author, bool(event.get_function_responses())] = index
        if event.interaction_id:
            last[event.author, "interaction"] = index
    return last.values()


def _ends_of_tasks(events: Sequence[Event], there: Sequence[int], scopes: Iterable[str | None]) -> set[int]:
    """Returns the events that end or abort a task, for the tasks of which other events are kept."""
    tasks = set(scopes) - {None}
    invocations = {events[index].invocation_id for index in there if events[index].isolation_scope in tasks}
    return {index for index in there if _ends_task(events[index], tasks, invocations)}


def _ends_task(event: Event, tasks: set[str | None], invocations: set[str]) -> bool:
    if event.error_code == "INVOCATION_ABORTED":
        return event.invocation_id in invocations
    if event.isolation_scope not in tasks:
        return False
    return any(response.name == "finish_task" for response in event.get_function_responses())
