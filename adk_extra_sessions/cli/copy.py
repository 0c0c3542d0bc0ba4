"""`adk-sessions copy`: from one place to another, exactly."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.tally import Tally, counted
from adk_extra_sessions.transfer import copy_items, plan_items, verify_items


@click.command("copy")
@click.argument("source_url", metavar="SRC")
@click.argument("destination_url", metavar="DST")
@selection
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and write nothing.")
@click.option("--verify", is_flag=True, help="After copying, compare everything; with --dry-run, only compare.")
@click.pass_context
def command(
    ctx: click.Context,
    source_url: str,
    destination_url: str,
    apps: tuple[str, ...],
    users: tuple[str, ...],
    dry_run: bool,
    verify: bool,
) -> None:
    """Copy sessions, and the state of their users and apps, from SRC to DST.

    Names, order, times and state are kept. Run it again after a break, or to catch up with what SRC has got
    meanwhile: nothing is doubled. A session that DST has continued is left alone and reported.
    """
    with (
        opened(source_url, must_exist=True) as source,
        opened(destination_url, must_exist=dry_run) as destination,
    ):
        app_names = list(apps or source.app_names())
        total = counted(source, app_names, users)
        tallies = []
        if not (dry_run and verify):
            does, run = ("would copy", plan_items) if dry_run else ("copied", copy_items)
            tallies.append(Tally(does).run(run(source.items(app_names, users), destination), total))
        if verify:
            tallies.append(Tally("compared").run(verify_items(source.items(app_names, users), destination), total))
    if not all(tally.well for tally in tallies):
        ctx.exit(1)
