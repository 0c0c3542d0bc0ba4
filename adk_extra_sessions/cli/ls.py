"""`adk-sessions ls`: apps, users or sessions, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import click
from rich.cells import cell_len
from rich.text import Text

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import as_json, labels_option
from adk_extra_sessions.cli.output import clean, console, local_time, write_json
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.transfer import overview


@click.command("ls")
@click.argument("url", metavar="PLACE")
@click.argument("app_name", metavar="[APP]", required=False)
@click.argument("user_id", metavar="[USER]", required=False)
@click.option("--app", "named_app", metavar="APP", help="The same as the argument APP.")
@click.option("--user", "named_user", metavar="USER", help="The same as the argument USER.")
@click.option("--users", is_flag=True, help="List the app's users instead of sessions.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0), help="The largest number to list; 0 for all."
)
@labels_option
@as_json
def command(
    url: str,
    app_name: str | None,
    user_id: str | None,
    named_app: str | None,
    named_user: str | None,
    users: bool,
    limit: int,
    labels: Mapping[str, str],
    json: bool,
) -> None:
    """List the apps of PLACE, the sessions of APP, or those of its USER. Newest first."""
    app_name, user_id = _either("app", app_name, named_app), _either("user", user_id, named_user)
    if app_name is None and (users or labels or user_id is not None):
        raise click.UsageError("Give the app too: as the argument APP, or with --app.")
    if users and labels:
        raise click.UsageError("--label selects sessions, not --users.")
    with opened(url, must_exist=True) as place, Work("reading") as work:
        found: Sequence[Any]
        count = 0
        if app_name is None:
            found = overview.apps(place, on_session=work.step)
        elif users:
            found = overview.newest(overview.users(place, app_name, on_session=work.step), limit)
        else:
            page = None
            if user_id is not None and limit:
                page = overview.newest_of_user(place, app_name, user_id, limit, labels)
            if page is None:
                listed = overview.sessions(place, app_name, user_id, labels, on_session=work.step)
                page = overview.newest(listed, limit), work.done
            found, count = page
    if json:
        write_json([attrs.asdict(one) for one in found])
        return
    _print(found)
    if count > len(found):
        console(stderr=True).print(f"Listed the newest {len(found):,} of {count:,} sessions. To list all: --limit 0.")


def _either(what: str, argument: str | None, option: str | None) -> str | None:
    if argument is not None and option is not None and argument != option:
        raise click.UsageError(f"Two names of the {what} are given, {argument!r} and {option!r}.")
    return option if argument is None else argument


def _print(found: Sequence[Any]) -> None:
    """Prints a table, one column a field; names and labels only if there are any.

    A terminal wraps its long lines, so that every id can be copied from it.
    """
    if not found:
        console(stderr=True).print("No sessions found.")
        return
    values = [attrs.asdict(one, recurse=False) for one in found]
    shown = [
        field.name
        for field in attrs.fields(type(found[0]))
        if field.default is attrs.NOTHING or any(one[field.name] for one in values)
    ]
    head = [name.replace("_", " ").replace("last update time", "last update") for name in shown]
    rows = [head, *([_cell(one[name]) for name in shown] for one in values)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    out = console()
    for number, row in enumerate(rows):
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        out.print(Text("  ".join(cells).rstrip(), "" if number else "bold"))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return local_time(value)
    if isinstance(value, Mapping):
        value = ", ".join(f"{name}={text}" for name, text in value.items())
    return f"{value:,}" if isinstance(value, int) else clean(str(value or "")).replace("\n", "\ufffd")
