"""`adk-sessions copy`: copy sessions from one place to another."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.tally import Tally, counted
from adk_extra_sessions.transfer import copy_items, plan_items, verify_items
from adk_extra_sessions.transfer.opening import resolved
from adk_extra_sessions.transfer.same_place import same_place


@click.command("copy")
@click.argument("source_url", metavar="SRC")
@click.argument("destination_url", metavar="DST")
@selection
@click.option("--dry-run", is_flag=True, help="Report what would be copied; write nothing.")
@click.option("--verify", is_flag=True, help="Compare everything after copying. With --dry-run: only compare.")
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

    Ids, the order of events, times and state are kept. Run it again after an interruption, or to copy what was added
    to SRC since: nothing is copied twice. A session that was continued in DST is not changed, and is reported.
    """
    if same_place(resolved(source_url), resolved(destination_url)):
        raise click.UsageError("SRC and DST are the same place.")
    with (
        opened(source_url, must_exist=True) as source,
        opened(destination_url, must_exist=dry_run) as destination,
    ):
        app_names = list(apps or source.app_names())
        total = counted(source, source_url, app_names, users)
        tallies = []
        if not (dry_run and verify):
            does, run = ("would copy", plan_items) if dry_run else ("copied", copy_items)
            tallies.append(Tally(does).run(run(source.items(app_names, users), destination), total))
        if verify:
            tallies.append(Tally("compared").run(verify_items(source.items(app_names, users), destination), total))
    if not all(tally.well for tally in tallies):
        ctx.exit(1)
