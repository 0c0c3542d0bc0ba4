"""The commands by name; each is imported when it is run."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module

import click

from adk_extra_sessions import __version__

COMMANDS = {
    "ls": ("ls", "List apps, users or sessions, newest first."),
    "show": ("show", "Show a session as a readable conversation."),
    "copy": ("copy", "Copy sessions from one place to another."),
    "export": ("export", "Write sessions to a JSON Lines file."),
    "import": ("import_", "Import sessions from a file that export wrote."),
    "rm": ("rm", "Delete one session, or many by age, number or label."),
    "erase": ("erase", "Delete everything of a user or an app."),
    "doctor": ("doctor", "Check a server and everything stored on it."),
}
"""For each command its module, and what the overview says of it."""


class LazyGroup(click.Group):
    """Imports a command when it is run: ADK alone takes a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"adk_extra_sessions.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the overview, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="adk-sessions")
def commands() -> None:
    """Manage ADK sessions on Redis, on MongoDB and in ADK's own session services.

    PLACE, SRC and DST are URLs: redis://HOST, or mongodb://HOST/DATABASE; a URL of ADK's, such as
    sqlite:///sessions.db or postgresql+asyncpg://...; adk-redis:// or adk-mongodb:// for ADK's own services on Redis
    and MongoDB; module:factory for any other session service; or env:NAME for an environment variable with a URL.
    """
    # ADK warns about every service that it calls experimental.
    warnings.filterwarnings("ignore", module=r"google\.adk")
    warnings.filterwarnings("ignore", message=r".*EXPERIMENTAL.*")
    logging.getLogger("google_adk").setLevel(logging.ERROR)
