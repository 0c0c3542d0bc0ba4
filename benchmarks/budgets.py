"""Budgets: what was measured against what was promised."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from attrs import asdict, frozen


@frozen
class Result:
    """One line of the table.

    Attributes:
        backend: "redis" or "mongodb".
        what: What was measured.
        value: The figure: a ratio, a count or bytes.
        limit: What it must not go beyond.
        at_least: Whether the figure must be at least the limit, rather than at most.
        detail: The figures it was made of.
    """

    backend: str
    what: str
    value: float
    limit: float
    at_least: bool = False
    detail: str = ""

    @property
    def held(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def promise(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


def table(results: Iterable[Result]) -> str:
    """Returns results as a Markdown table."""
    lines = ["| backend | what | measured | budget | held | figures |", "| --- | --- | ---: | ---: | --- | --- |"]
    for one in results:
        held = "yes" if one.held else "**NO**"
        lines.append(f"| {one.backend} | {one.what} | {one.value:.3g} | {one.promise} | {held} | {one.detail} |")
    return "\n".join(lines)


def save(path: Path, results: Iterable[Result], more: dict[str, object]) -> None:
    """Writes results, and what else was found, as JSON."""
    rows = [{**asdict(one), "held": one.held} for one in results]
    path.write_text(json.dumps({"results": rows, **more}, indent=2) + "\n")


def ms(seconds: float) -> str:
    """A duration as people read it."""
    return f"{seconds:.3g} s" if seconds >= 0.9995 else f"{seconds * 1000:.3g} ms"
