"""Asking before something is deleted."""

from __future__ import annotations

import click

from adk_extra_sessions.cli.output import console


def confirmed(question: str) -> bool:
    """Asks a question on standard error; without an answer there, nothing is confirmed."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise
        console(stderr=True).print("\nNo answer: standard input has ended. To delete without being asked: --yes.")
        return False
