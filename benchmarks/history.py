"""Cost against the length of a history, as a plot: ours, ADK's and a raw write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from google.adk.sessions import BaseSessionService, InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService

from adk_extra_sessions import MongoSessionService, RedisSessionService
from benchmarks.measure import medians, progress
from benchmarks.peers import adk_mongo, adk_redis, adk_redis_session
from benchmarks.workload import a_session, event

LENGTHS = (10, 30, 100, 300, 1000, 3000)
COLOURS = ("#0b7285", "#5c940d", "#c92a2a", "#e67700", "#868e96", "#5f3dc4", "#c2255c", "#1c7ed6", "#212529")


async def plot(path: Path, redis_url: str, mongo_url: str) -> None:
    """Measures an append at growing history lengths on every service, and draws it.

    Args:
        path: Where to write the SVG.
        redis_url: An empty redis-server.
        mongo_url: An empty replica set.
    """
    sqlite = path.with_suffix(".db")
    services: dict[str, BaseSessionService] = {
        "ours on Redis": RedisSessionService(redis_url),
        "ours on MongoDB": MongoSessionService(mongo_url, "ours"),
        "ADK on Redis": adk_redis(redis_url),
        "ADK on MongoDB": adk_mongo(mongo_url + "&w=majority", "adk"),
        "ADK in memory": InMemorySessionService(),
        "ADK on sqlite": SqliteSessionService(db_path=str(sqlite)),
    }
    try:
        lines = {
            name: [await _append(name, service, length) for length in LENGTHS] for name, service in services.items()
        }
    finally:
        sqlite.unlink(missing_ok=True)
    title = "milliseconds an append, by events already in the session (both axes logarithmic)"
    path.write_text(svg(title, LENGTHS, lines, 0.01))


async def _append(name: str, service: BaseSessionService, length: int) -> float:
    progress(f"{name}: {length} events")
    fill: Callable[..., Any] = adk_redis_session if name == "ADK on Redis" else a_session
    session = await (fill(service, length) if fill is adk_redis_session else fill(service, count=length))
    times = await medians({"append": lambda: service.append_event(session, event())}, rounds=4, repeat=5)
    await asyncio.sleep(0)
    return times["append"] * 1000


def svg(title: str, lengths: Sequence[int], lines: Mapping[str, Sequence[float]], low: float) -> str:
    """Draws lines on logarithmic axes: events to the right, milliseconds upward.

    Args:
        title: What is drawn.
        lengths: Of histories, in events.
        lines: For each name the milliseconds at each length.
        low: The lowest value of the axis.
    """
    from math import ceil, log10

    width, height, left, bottom = 720, 400, 60, 350
    high = max(1000.0, 10.0 ** ceil(log10(max(max(values) for values in lines.values()))))

    def x(length: float) -> float:
        return left + (width - left - 230) * (log10(length) - log10(lengths[0])) / (
            log10(lengths[-1]) - log10(lengths[0])
        )

    def y(value: float) -> float:
        return bottom - (bottom - 30) * (log10(max(value, low)) - log10(low)) / (log10(high) - log10(low))

    size = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    drawn.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    drawn.append(f'<text x="60" y="18">{title}</text>')
    for value in (value for value in (0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000) if low <= value <= high):
        drawn.append(f'<path d="M{left} {y(value):.0f}H{width - 230}" stroke="#dee2e6"/>')
        drawn.append(f'<text x="{left - 6}" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
    for length in lengths:
        drawn.append(f'<text x="{x(length):.0f}" y="{bottom + 18}" text-anchor="middle">{length}</text>')
    for values, colour in zip(lines.values(), cycle(COLOURS)):
        points = " ".join(f"{x(length):.1f},{y(value):.1f}" for length, value in zip(lengths, values, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    lowest = 0.0
    ends = [(y(values[-1]) + 4, name, colour) for (name, values), colour in zip(lines.items(), cycle(COLOURS))]
    for at, name, colour in sorted(ends):
        lowest = max(at, lowest + 14)  # one label must not hide another
        drawn.append(f'<text x="{width - 224}" y="{lowest:.0f}" fill="{colour}">{name}</text>')
    return "\n".join([*drawn, "</svg>", ""])
