"""Working on several things at once: in order, not far ahead, and never half-way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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


def test_an_error_in_reading_comes_after_the_results_before_it() -> None:
    def things() -> Iterator[int]:
        yield from range(5)
        raise ValueError("no more can be read")

    results: list[int] = []

    def consume() -> None:
        for number in each(lambda one: one, things(), 2):
            results.append(number)

    with pytest.raises(ValueError, match="no more can be read"):
        consume()
    assert results == [0, 1, 2, 3, 4]


def test_nothing_that_waits_is_begun_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown = ThreadPoolExecutor.shutdown
    ended = threading.Event()
    begun: list[int] = []

    def end(pool: ThreadPoolExecutor, wait: bool = True, **options: bool) -> None:
        shutdown(pool, wait=False, **options)
        ended.set()
        shutdown(pool, wait=wait)

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            ended.wait(60)
        return number

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", end)
    results = each(work, range(100), 1)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 2


@pytest.mark.parametrize("where", ["thing", "consumer", "work"])
def test_what_has_begun_is_finished_and_nothing_more_begun(where: str) -> None:
    begun: list[int] = []
    finished: list[int] = []
    both = threading.Barrier(2)

    def work(number: int) -> int:
        begun.append(number)
        if number in (3, 4):
            both.wait(timeout=60)
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
