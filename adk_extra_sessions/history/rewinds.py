"""Events that a rewind has taken back: ADK sends them to no model."""

from __future__ import annotations

from collections.abc import Sequence

from google.adk.events import Event


def is_rewind(event: Event) -> bool:
    """Whether an event takes back what came before it."""
    return bool(event.actions.rewind_before_invocation_id)


def live(events: Sequence[Event], *, complete: bool = True) -> list[int]:
    """Returns the indexes of the events that no rewind has taken back, and are not rewinds themselves.

    Args:
        events: A history in order.
        complete: Whether it has its beginning. If not, the beginning of a rewind that is not found
            is before it.
    """
    first: dict[str, int] = {}
    for index, event in enumerate(events):
        first.setdefault(event.invocation_id, index)
    kept = []
    index = len(events) - 1
    while index >= 0:
        target = events[index].actions.rewind_before_invocation_id
        if not target:
            kept.append(index)
        else:
            begin = first.get(target, index if complete else 0)
            index = min(begin, index)
        index -= 1
    kept.reverse()
    return kept
