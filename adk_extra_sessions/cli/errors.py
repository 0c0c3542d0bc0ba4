"""Turns an error into one line, without a traceback and without passwords."""

from __future__ import annotations

from collections.abc import Iterable

from adk_extra_sessions.cli.main import DAMAGED, REFUSED, WRONG
from adk_extra_sessions.cli.output import clean
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
    return code, one_line(text, arguments)


def one_line(text: str, arguments: Iterable[str]) -> str:
    """Returns a message in one line that is not too long, without control characters and passwords.

    Args:
        text: The message.
        arguments: The command line, whose passwords are removed.
    """
    text = clean(" ".join(text.partition(", Topology Description:")[0].split()))
    text = without_secrets(text, arguments)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
