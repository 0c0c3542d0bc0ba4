"""Writes text for people; control characters in stored text cannot reach the terminal."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime

from pydantic_core import to_jsonable_python
from rich.console import Console

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def console(*, stderr: bool = False) -> Console:
    """Creates a console that writes text literally, and breaks no line."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def clean(text: str) -> str:
    """Returns a text without control characters, except line ends and tabs."""
    return _CONTROL.sub("\ufffd", text)


def ascii_json(text: str) -> str:
    """Returns JSON with non-ASCII characters escaped, so that it is the same in any encoding."""
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def local_time(seconds: float) -> str:
    """Returns a time in the local time zone, for people."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def write_json(value: object) -> None:
    """Writes a value as JSON to standard output."""
    text = json.dumps(to_jsonable_python(value), indent=2)
    sys.stdout.write(f"{text}\n")
