"""`adk-sessions export`: sessions to a file."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.options import selection
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.cli.tally import counted
from adk_extra_sessions.transfer import SharedStateItem, files, open_place, write_items


@click.command("export")
@click.argument("url", metavar="PLACE")
@click.argument("path", metavar="FILE")
@selection
def command(url: str, path: str, apps: tuple[str, ...], users: tuple[str, ...]) -> None:
    """Write sessions, and the state of their users and apps, to FILE as JSON Lines.

    FILE is compressed if its name ends in .gz, and is standard output if it is -. It appears when it is complete.
    """
    with open_place(url, must_exist=True) as place:
        app_names = list(apps or place.app_names())
        with Work("exported", counted(place, app_names, users)) as work, files.writing(path) as file:
            for item in write_items(place.items(app_names, users), file):
                if not isinstance(item, SharedStateItem):
                    work.step()
            work.say(f"exported {work.done:,} sessions, {work.pace()}")
