"""`adk-sessions erase`: delete everything of a user or an app, with a receipt."""

from __future__ import annotations

import attrs
import click

from adk_extra_sessions.cli.asking import confirmed
from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import as_json
from adk_extra_sessions.cli.output import console, write_json
from adk_extra_sessions.transfer.places import store_of


@click.command("erase")
@click.argument("url", metavar="PLACE")
@click.argument("app_name", metavar="APP")
@click.argument("user_id", metavar="[USER]", required=False)
@click.option("--all-users", is_flag=True, help="Erase the whole app with all its users; instead of USER.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, url: str, app_name: str, user_id: str | None, all_users: bool, yes: bool, json: bool
) -> None:
    """Erase USER of APP, or APP with --all-users: sessions, events, state and every index entry. Prints a receipt."""
    if all_users == (user_id is not None):
        raise click.UsageError("Give a USER, or --all-users to erase the whole app.")
    with opened(url, must_exist=True) as place:
        store = store_of(place, "Users and apps can be erased")
        whose = f"app {app_name!r} and all its users" if user_id is None else f"user {user_id!r} in app {app_name!r}"
        if not yes:
            count = store.count_sessions(app_name=app_name, user_id=user_id)
            question = f"Erase everything of {whose}, with {count:,} sessions? This cannot be undone."
            if not confirmed(question):
                console(stderr=True).print("Nothing was erased.")
                ctx.exit(1)
        if user_id is None:
            receipt = store.delete_app(app_name=app_name)
        else:
            receipt = store.delete_user(app_name=app_name, user_id=user_id)
    if json:
        write_json(attrs.asdict(receipt))
        return
    out = console()
    out.print(f"Erased {whose}.")
    out.print(f"started  {receipt.started.isoformat(timespec='seconds')}, took {receipt.seconds:.1f} s")
    for name in ("sessions", "events", "states", "turns"):
        out.print(f"{name:8} {getattr(receipt, name):,}")
    out.print(f"These were stored in {receipt.records:,} keys or documents, with those of indexes.")
