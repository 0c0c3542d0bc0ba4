"""Keeping the passwords of a command line out of what is written."""

from __future__ import annotations

import os
from collections.abc import Iterable

from adk_extra_sessions.redaction import redact_text


def without_secrets(text: str, arguments: Iterable[str]) -> str:
    """Returns a message without the passwords in URLs of a command line, and in environment variables it names."""
    for argument in arguments:
        text = redact_text(text, argument)
        if argument.startswith("env:"):
            text = redact_text(text, os.environ.get(argument[4:], ""))
    return text
