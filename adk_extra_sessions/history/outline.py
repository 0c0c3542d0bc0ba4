"""An outline of a history: at which positions are the events that a turn needs."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen
class Outline:
    """Where, in the first `upto` events of a history, those are that a turn needs.

    It stays right when events are added: they are at positions from `upto` on,
    and whoever reads by an outline reads these too.

    Attributes:
        upto: How many events there were; positions are absolute.
        long_running: How many of them had calls of long-running tools.
        start: From this position on, all events are needed.
        kept: First and last positions of what is needed before `start`.
    """

    upto: int
    long_running: int
    start: int
    kept: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, positions: Iterable[int], upto: int, long_running: int) -> Outline:
        """Makes the outline of a history.

        Args:
            positions: Where the events are that are needed, ascending.
            upto: How many events there are.
            long_running: How many of them have calls of long-running tools.
        """
        ranges: list[tuple[int, int]] = []
        for position in positions:
            if ranges and position == ranges[-1][1] + 1:
                ranges[-1] = ranges[-1][0], position
            else:
                ranges.append((position, position))
        start = ranges.pop()[0] if ranges and ranges[-1][1] == upto - 1 else upto
        return cls(upto, long_running, start, tuple(ranges))
