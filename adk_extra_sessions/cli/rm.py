"""`adk-sessions rm`: delete one session, after asking."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import session_names
from adk_extra_sessions.cli.output import clean, console, local_time
from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.transfer import Place


@click.command("rm")
@session_names
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(ctx: click.Context, url: str, app_name: str, user_id: str, session_id: str, yes: bool) -> None:
    """Delete a session and its events. The state of its user and app stays."""
    key = SessionKey.of(app_name, user_id, session_id)
    with opened(url, must_exist=True) as place:
        said = _described(place, key)
        if said is None:
            place.discard(key)  # events may be left of it
            console(stderr=True).print(clean(f"{describe(key)} does not exist. Anything left of it has been deleted."))
            ctx.exit(1)
        if not yes and not _confirmed(f"{clean(said)}. Delete it? This cannot be undone."):
            console(stderr=True).print("Nothing was deleted.")
            ctx.exit(1)
        place.discard(key)
        console(stderr=True).print("Deleted.")


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        console(stderr=True).print("\nNo answer: standard input has ended. To delete without being asked: --yes.")
        return False


def _described(place: Place, key: SessionKey) -> str | None:
    try:
        found = place.stream(key)
    except CorruptRecordError:
        return f"{describe(key)} cannot be read"
    if found is None:
        return None
    return f"{describe(key)} has {found.count:,} events, the last of {local_time(found.session.last_update_time)}"
