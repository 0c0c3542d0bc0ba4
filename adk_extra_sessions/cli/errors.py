"""Turns an error into one line, without a traceback and without passwords."""

from __future__ import annotations

from collections.abc import Iterable

from adk_extra_sessions.cli.main import DAMAGED, REFUSED, WRONG
from adk_extra_sessions.cli.secrets import without_secrets
from adk_extra_sessions.errors import ConfigurationError, CorruptRecordError, InputValidationError, SessionFileError

LONGEST = 500
"""The largest number of characters of a message."""


def explain(error: Exception, arguments: Iterable[str] = ()) -> tuple[int, str]:
    """Returns the exit code and the line for an error.

    Args:
        error: The error that ended a command.
        arguments: The command line, whose passwords are removed from the message.
    """
    damaged = isinstance(error, CorruptRecordError)
    ours = damaged or isinstance(error, (ConfigurationError, InputValidationError, SessionFileError))
    of_a_file = isinstance(error, OSError) and error.filename is not None
    if isinstance(error, OSError) and of_a_file:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) if ours else f"{type(error).__name__}: {error}"
    code = DAMAGED if damaged else WRONG if ours or of_a_file else REFUSED
    return code, hidden(" ".join(text.split()), arguments)


def hidden(text: str, arguments: Iterable[str]) -> str:
    """Returns a message without the passwords in a command line, and shortened."""
    text = without_secrets(text.partition(", Topology Description:")[0], arguments)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
