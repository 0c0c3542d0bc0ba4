"""`adk-sessions show`: show a session as a readable conversation."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from google.adk.events import Event
from google.adk.sessions import Session as AdkSession
from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

from adk_extra_sessions.cli.opening import opened
from adk_extra_sessions.cli.options import as_json, session_names
from adk_extra_sessions.cli.output import ascii_json, clean, console, local_time
from adk_extra_sessions.conversation import Kind, Line, event_lines
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.session import Session
from adk_extra_sessions.transfer import StreamedSession

STYLES = {
    Kind.THOUGHT: ("(thinks) ", "dim italic"),
    Kind.CALL: ("→ ", "cyan"),
    Kind.RESPONSE: ("← ", "cyan"),
    Kind.CODE: ("$ ", "cyan"),
    Kind.SPEECH: ("(speech) ", ""),
    Kind.SOURCE: ("source: ", "magenta"),
    Kind.SUMMARY: ("summary of earlier events: ", "dim italic"),
    Kind.FILE: ("file: ", "magenta"),
    Kind.STATE: ("state: ", "green"),
    Kind.CONTROL: ("", "yellow"),
    Kind.ERROR: ("error: ", "red"),
    Kind.TEXT: ("", ""),
}
"""The prefix of each kind of line, and its style on a terminal."""


@click.command("show")
@session_names
@click.option("--last", type=click.IntRange(0), help="Only the newest so many events.")
@as_json
@click.pass_context
def command(
    ctx: click.Context, url: str, app_name: str, user_id: str, session_id: str, last: int | None, json: bool
) -> None:
    """Show a session: who said what, tool calls, and changes of state."""
    key = SessionKey.of(app_name, user_id, session_id)
    with opened(url, must_exist=True) as place:
        found = place.stream(key)
        if found is None:
            console(stderr=True).print(f"{key} does not exist.")
            ctx.exit(1)
        for _ in range(found.count - last if last is not None else 0):
            next(found.events)
        if json:
            _write_json(found)
        else:
            _print(found)


def _write_json(found: StreamedSession) -> None:
    """Writes ADK's own JSON of the session, event by event; what has no JSON form becomes a string."""
    head = found.session.model_dump_json(exclude={"events"}, by_alias=False, fallback=str).removesuffix("}")
    sys.stdout.write(f'{ascii_json(head)},"events":[')
    for number, event in enumerate(found.events):
        line = event.model_dump_json(exclude_none=True, fallback=str)
        sys.stdout.write(("," if number else "") + "\n" + ascii_json(line))
    sys.stdout.write("\n]}\n")


def _print(found: StreamedSession) -> None:
    out = console()
    session = found.session
    out.print(Text(clean(f"{session.app_name} / {session.user_id} / {session.id}"), "bold"))
    for text in _details(session):
        out.print(clean(text).replace("\n", "\ufffd"))
    out.print(f"{found.count:,} events, last update {local_time(session.last_update_time)}")
    for event in found.events:
        _print_event(out, event)
    if session.state:
        out.print(Text("\nstate", "bold"))
        for key, value in session.state.items():
            out.print(Text(clean(f"  {key} = {to_json(value, serialize_unknown=True).decode()}")))


def _details(session: AdkSession) -> Iterator[str]:
    if not isinstance(session, Session):
        return
    if session.display_name:
        yield session.display_name
    if session.labels:
        yield "labels " + ", ".join(f"{name}={text}" for name, text in session.labels.items())
    if session.create_time:
        expires = f", expires {local_time(session.expire_time)}" if session.expire_time else ""
        yield f"created {local_time(session.create_time)}{expires}"


def _print_event(out: Console, event: Event) -> None:
    out.print()
    out.print(Text(clean(event.author), "bold blue" if event.author == "user" else "bold"), end="  ")
    out.print(Text(local_time(event.timestamp), "dim"))
    for text in _texts(event_lines(event)):
        out.print(text)


def _texts(lines: Iterator[Line]) -> Iterator[Text]:
    for line in lines:
        before, style = STYLES[line.kind]
        first, *rest = clean(line.text).splitlines() or [""]
        yield Text(f"  {before}{first}", style)
        for other in rest:
            yield Text(f"  {' ' * len(before)}{other}", style)
