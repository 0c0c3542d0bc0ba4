"""How changes of `app:` and `user:` state are ordered, on every backend that cannot change them with the event.

State that sessions share is in another document (MongoDB) or slot (Redis
Cluster) than the session, so it cannot change in the same write. A writer

1. takes a ticket, the next number of a counter beside that state,
2. stores the delta and its ticket with the session, in the write that stores the event,
3. applies the delta: each key is set only where it has a smaller ticket, and keeps the delta's,
4. removes the delta from the session.

Only 1 must come before 2. From 2 on, any process may apply the delta, at any
time and any number of times, with the same result: a key's ticket only grows. So
a delta that a crash left behind is applied by the next writer of its session, or
before the session is deleted, and never undoes what came after it. A reader of
the session merges the deltas that it still has, and writes nothing.

Clocks do not matter. A writer that begins after another one has ended has a
larger ticket. Two that overlap may have the same; then the one that is applied
first stays, and either order is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def newer(values: Mapping[str, T], ticket: int, tickets: Mapping[str, int]) -> dict[str, T]:
    """Returns those values of a delta whose keys have a smaller ticket, or none."""
    return {key: value for key, value in values.items() if tickets.get(key, 0) < ticket}


def merged(
    state: Mapping[str, T], tickets: Mapping[str, int], deltas: Iterable[tuple[int, Mapping[str, T]]]
) -> tuple[dict[str, T], dict[str, int]]:
    """Applies deltas to a copy of some state.

    Args:
        state: The state.
        tickets: The ticket of each of its keys.
        deltas: Each one's ticket and values, in any order.

    Returns:
        The state and the tickets after all of them.
    """
    values, held = dict(state), dict(tickets)
    for ticket, delta in deltas:
        changed = newer(delta, ticket, held)
        values.update(changed)
        held.update(dict.fromkeys(changed, ticket))
    return values, held
