"""An outline of a history: the positions of the events that a turn needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from attrs import field, frozen

from adk_extra_sessions.records import SessionRecord

OutlineName: TypeAlias = Literal["compacted", "waiting"]
"""The kinds of outlines: for history="compacted"; and with the calls that wait, for a number."""


@frozen
class Outline:
    """Which of the first `upto` events of a history a turn needs.

    It stays valid when events are added: their positions begin at `upto`, and readers also read all
    from there on.

    Attributes:
        upto: How many events there had been; positions count from the session's creation.
        long_running: How many of them may have changed which calls of long-running tools wait.
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
            upto: How many events there have been.
            long_running: How many of them may have changed which calls of long-running tools wait.
        """
        kept = ranges(positions)
        start = kept.pop()[0] if kept and kept[-1][1] == upto - 1 else upto
        return cls(upto, long_running, start, tuple(kept))


def ranges(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Returns the first and last positions of those that follow each other.

    Args:
        positions: Ascending.
    """
    found: list[tuple[int, int]] = []
    for position in positions:
        if found and position == found[-1][1] + 1:
            found[-1] = found[-1][0], position
        else:
            found.append((position, position))
    return found


@frozen
class Run:
    """Events that follow each other.

    Attributes:
        first: The position of the first of them.
    """

    first: int
    bodies: Sequence[bytes | str] = field(repr=False)


@frozen
class NewOutline:
    """An outline to be stored.

    Attributes:
        start_revision: The revision at the session's creation; no other session has it.
        newest: The digest of the last event that it describes.
    """

    name: OutlineName
    outline: Outline
    start_revision: int
    newest: bytes


@frozen
class Part:
    """What was read of a session as an outline says.

    Attributes:
        record: The session; it has no bodies.
        start_revision: The revision at its creation; no other session has it.
        runs: Its events, in order.
        first: The position of the oldest event that is kept.
        end: How many events there have been: the position of the next one.
        long_running: How many of them may have changed which calls of long-running tools wait.
        outline: The outline that says which; None if there is none.
        newest: The digest of the newest event; None if there is no event.
    """

    record: SessionRecord
    start_revision: int
    runs: Sequence[Run]
    first: int
    end: int
    long_running: int
    outline: Outline | None
    newest: bytes | None

    @property
    def positions(self) -> Iterator[int]:
        """The positions of all events."""
        return (run.first + nth for run in self.runs for nth in range(len(run.bodies)))

    @property
    def complete(self) -> bool:
        """Whether it has all events that are kept."""
        return sum(len(run.bodies) for run in self.runs) == self.end - self.first
