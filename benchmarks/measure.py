"""Timing: many short rounds, taken in turn, so that a busy moment strikes all contenders alike."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

Operation = Callable[[], Awaitable[object]]


def progress(text: str) -> None:
    """Tells what is being measured."""
    print(f"  … {text}", file=sys.stderr, flush=True)


async def medians(
    contenders: Mapping[str, Operation], *, rounds: int = 30, repeat: int = 10, collected: bool = False
) -> dict[str, float]:
    """Times operations in turn.

    Args:
        contenders: What to time, by name.
        rounds: How often each has its turn.
        repeat: How often in a turn.
        collected: Whether all garbage is collected before each turn. Operations that make very many objects
            are otherwise interrupted by a full collection now and then, which takes as long as they do.

    Returns:
        The median seconds of one operation, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for operation in contenders.values():
        await operation()
    for _ in range(rounds):
        for name, operation in contenders.items():
            gc.collect(2 if collected else 0)
            for _ in range(repeat):
                start = time.perf_counter()
                await operation()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


async def rate(tasks: int, total: int, work: Callable[[int], Operation]) -> tuple[float, int]:
    """Runs operations concurrently.

    Args:
        tasks: How many run at once.
        total: How many operations in all.
        work: Makes the operation of one task.

    Returns:
        Successful operations a second, and how many failed.
    """
    failed = 0

    async def run(operation: Operation) -> None:
        nonlocal failed
        for _ in range(max(1, total // tasks)):
            try:
                await operation()
            except Exception:
                failed += 1

    operations = [work(number) for number in range(tasks)]
    gc.collect()
    start = time.perf_counter()
    await asyncio.gather(*(run(operation) for operation in operations))
    taken = time.perf_counter() - start
    return (tasks * max(1, total // tasks) - failed) / taken, failed
