"""Working on several things at once: in order, not far ahead, and never half-way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from adk_extra_sessions.transfer.workers import each


def test_results_come_in_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 2 else 0)
        return number * number

    assert list(each(work, range(20), 4)) == [number * number for number in range(20)]


def test_things_are_taken_not_long_before_they_are_worked_on() -> None:
    taken = 0

    def things() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken = number
            yield number

    for number in each(lambda one: one, things(), 2):
        assert taken - number <= 6


@pytest.mark.parametrize("where", ["thing", "consumer", "work"])
def test_what_has_begun_is_finished_and_nothing_more_begun(where: str) -> None:
    begun: list[int] = []
    finished: list[int] = []
    both = threading.Barrier(2)

    def work(number: int) -> int:
        begun.append(number)
        if number in (3, 4):
            both.wait(timeout=10)
        if where == "work" and number == 3:
            raise KeyboardInterrupt
        time.sleep(0.05)
        finished.append(number)
        return number

    def things() -> Iterator[int]:
        for number in range(100):
            if where == "thing" and number == 9:
                raise KeyboardInterrupt
            yield number

    def consume() -> None:
        for number in each(work, things(), 2):
            if where == "consumer" and number == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    failed = [3] if where == "work" else []
    assert sorted(begun) == sorted([*finished, *failed])
    assert len(begun) < 20
