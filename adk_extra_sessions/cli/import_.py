"""`adk-sessions import`: read sessions from a file."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.output import console
from adk_extra_sessions.cli.tally import Tally
from adk_extra_sessions.errors import SessionFileError
from adk_extra_sessions.transfer import copy_items, files, plan_items, read_items, verify_items


@click.command("import")
@click.argument("path", metavar="FILE")
@click.argument("url", metavar="PLACE")
@selection
@click.option("--dry-run", is_flag=True, help="Report what would be imported; write nothing.")
@click.option("--verify", is_flag=True, help="Compare everything after importing. With --dry-run: only compare.")
@click.pass_context
def command(
    ctx: click.Context,
    path: str,
    url: str,
    apps: tuple[str, ...],
    users: tuple[str, ...],
    dry_run: bool,
    verify: bool,
) -> None:
    """Read sessions from FILE, which export wrote, into PLACE. FILE may be compressed; - is standard input.

    Run it again after an interruption: nothing is imported twice. If the file is truncated, its complete sessions are
    imported and the exit code is 1.
    """
    steps = []
    if not (dry_run and verify):
        steps.append(("would import", plan_items) if dry_run else ("imported", copy_items))
    if verify:
        steps.append(("compared", verify_items))
    if len(steps) > 1 and not files.can_be_read_again(path):
        raise click.UsageError(
            "--verify reads FILE twice, so FILE must be a regular file. To only compare, add --dry-run."
        )
    well = True
    with opened(url, must_exist=dry_run) as place:
        for does, run in steps:
            tally = Tally(does)
            try:
                with files.reading(path) as file:
                    tally.run(run(read_items(file, apps, users), place), None)
            except SessionFileError as error:
                if not tally.sessions:
                    raise
                well = False
                console(stderr=True).print(f"Error: {error}")
            well = well and tally.well
    if not well:
        ctx.exit(1)
