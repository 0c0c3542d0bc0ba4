"""Removes the passwords in a command line from messages."""

from __future__ import annotations

import os
from collections.abc import Iterable

from adk_extra_sessions.redaction import redact_text


def without_secrets(text: str, arguments: Iterable[str]) -> str:
    """Returns a message without the passwords in a command line, and in the environment variables it refers to."""
    for argument in arguments:
        text = redact_text(text, argument)
        if argument.startswith("env:"):
            text = redact_text(text, os.environ.get(argument[4:], ""))
    return text
