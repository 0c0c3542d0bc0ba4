"""`adk-sessions ls`: apps, users or sessions, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import click
from rich.table import Table

from adk_extra_sessions.cli.options import as_json
from adk_extra_sessions.cli.output import clean, console, local_time, write_json
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.transfer import open_place, overview


@click.command("ls")
@click.argument("url", metavar="PLACE")
@click.argument("app_name", metavar="[APP]", required=False)
@click.argument("user_id", metavar="[USER]", required=False)
@click.option("--users", is_flag=True, help="List the app's users instead of sessions.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="At most so many; 0 for all.")
@as_json
def command(url: str, app_name: str | None, user_id: str | None, users: bool, limit: int, json: bool) -> None:
    """List the apps of PLACE, the sessions of APP, or those of its USER. Newest first."""
    with open_place(url, must_exist=True) as place, Work("reading") as work:
        found: Sequence[Any]
        if app_name is None:
            found = overview.apps(place, met=work.step)
        elif users:
            found = overview.newest(overview.users(place, app_name, met=work.step), limit)
        else:
            found = overview.newest(overview.sessions(place, app_name, user_id, met=work.step), limit)
        met = work.done
    if json:
        write_json([attrs.asdict(one) for one in found])
        return
    _print(found)
    if app_name is not None and not users and met > len(found):
        console(stderr=True).print(f"The newest {len(found):,} of {met:,} sessions; --limit 0 lists all.")


def _print(found: Sequence[Any]) -> None:
    """Prints a table: one column a field, a line each."""
    if not found:
        console(stderr=True).print("Nothing there.")
        return
    table = Table(box=None, pad_edge=False)
    for field in attrs.fields(type(found[0])):
        table.add_column(field.name.replace("_", " ").replace("last update time", "last update"), no_wrap=True)
    for one in found:
        table.add_row(*map(_cell, attrs.astuple(one)))
    console().print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return local_time(value)
    return f"{value:,}" if isinstance(value, int) else clean(str(value or "")).replace("\n", "\ufffd")
