"""`adk-sessions import`: sessions from a file."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.tally import Tally
from adk_extra_sessions.transfer import copy_items, files, open_place, plan_items, read_items, verify_items


@click.command("import")
@click.argument("path", metavar="FILE")
@click.argument("url", metavar="PLACE")
@selection
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and write nothing.")
@click.option("--verify", is_flag=True, help="Instead of importing, compare the file with what is there.")
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
    """Read sessions from FILE, which export wrote, into PLACE. - is standard input.

    Run it again after a break: nothing is doubled.
    """
    does, run = ("imported", copy_items)
    if verify:
        does, run = ("compared", verify_items)
    elif dry_run:
        does, run = ("would import", plan_items)
    with files.reading(path) as file, open_place(url, must_exist=dry_run or verify) as place:
        tally = Tally(does).run(run(read_items(file, apps, users), place), None)
    if not tally.well:
        ctx.exit(1)
