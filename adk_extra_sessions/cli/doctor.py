"""`adk-sessions doctor`: check a server and everything stored on it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import click
from rich.text import Text

from adk_extra_sessions.cli.errors import one_line
from adk_extra_sessions.cli.opening import first_contact
from adk_extra_sessions.cli.options import as_json
from adk_extra_sessions.cli.output import clean, console, write_json
from adk_extra_sessions.cli.progress import Work
from adk_extra_sessions.doctor import Finding, Level, examine, server_finding
from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.transfer import StorePlace, open_place

STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "bold red"}


@click.command("doctor")
@click.argument("url", metavar="PLACE")
@click.option("--quick", is_flag=True, help="Do not read all sessions and events.")
@as_json
@click.pass_context
def command(ctx: click.Context, url: str, quick: bool, json: bool) -> None:
    """Check a Redis or MongoDB store: server, indexes, expiry, memory, all sessions and events. Writes nothing."""
    found: list[Finding] = []
    with Work("reading") as work:
        for finding in _findings(url, quick, work):
            finding = attrs.evolve(finding, text=one_line(finding.text, [url]))
            found.append(finding)
            if not json:
                with work.hidden():
                    console().print(_text(finding))
    if json:
        write_json([{**attrs.asdict(finding), "level": finding.level.value} for finding in found])
    if any(finding.level is Level.PROBLEM for finding in found):
        ctx.exit(1)


def _findings(url: str, quick: bool, work: Work) -> Iterator[Finding]:
    with first_contact(url) as place:
        if not isinstance(place, StorePlace):
            raise ConfigurationError("doctor can only check stores of this package, such as those of redis:// URLs.")
        server = server_finding(place.store)
    if server.level is Level.PROBLEM:
        yield server
        return
    with open_place(url) as place:
        if isinstance(place, StorePlace):
            yield from examine(place.store, records=not quick, on_session=work.step)


def _text(finding: Finding) -> Text:
    text = Text.assemble((f"{finding.level.value:8}", STYLES[finding.level]), f"{finding.subject}: {finding.text}")
    if finding.remedy:
        text.append(f"\n{'':8}{clean(finding.remedy)}", "italic")
    return text
