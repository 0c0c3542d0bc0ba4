"""`adk-sessions export`: write sessions to a file."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.tally import Tally, counted
from adk_extra_sessions.transfer import files, write_items


@click.command("export")
@click.argument("url", metavar="PLACE")
@click.argument("path", metavar="FILE")
@selection
@click.pass_context
def command(ctx: click.Context, url: str, path: str, apps: tuple[str, ...], users: tuple[str, ...]) -> None:
    """Write sessions, and the state of their users and apps, to FILE as JSON Lines.

    FILE is compressed if its name ends in .gz; - is standard output. It is created when the export is complete. A
    session that cannot be read, or is deleted during the export, is left out and reported; the exit code is then 1.
    """
    with files.writing(path) as file, opened(url, must_exist=True) as place:
        app_names = list(apps or place.app_names())
        total = counted(place, url, app_names, users)
        tally = Tally("exported").run(write_items(place.items(app_names, users), file), total)
    if not tally.well:
        ctx.exit(1)
