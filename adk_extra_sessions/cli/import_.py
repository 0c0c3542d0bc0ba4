"""`adk-sessions import`: sessions from a file."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.output import clean, console
from adk_extra_sessions.cli.tally import Tally
from adk_extra_sessions.errors import SessionFileError
from adk_extra_sessions.transfer import copy_items, files, plan_items, read_items, verify_items


@click.command("import")
@click.argument("path", metavar="FILE")
@click.argument("url", metavar="PLACE")
@selection
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and write nothing.")
@click.option("--verify", is_flag=True, help="After importing, compare everything; with --dry-run, only compare.")
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

    Run it again after a break: nothing is doubled. A file that is cut off is imported as far as its sessions are
    whole; the exit code is then 1.
    """
    steps = []
    if not (dry_run and verify):
        steps.append(("would import", plan_items) if dry_run else ("imported", copy_items))
    if verify:
        steps.append(("compared", verify_items))
    if len(steps) > 1 and not files.can_be_read_again(path):
        raise click.UsageError("--verify reads FILE twice: it must be a regular file. With --dry-run it only compares.")
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
                console(stderr=True).print(clean(f"Error: {error}"))
            well = well and tally.well
    if not well:
        ctx.exit(1)
