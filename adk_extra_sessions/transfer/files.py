"""Opening files of exported sessions: compressed by suffix, complete or not there at all."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from adk_extra_sessions.errors import SessionFileError

STANDARD = "-"
"""The name that stands for standard input or output."""


@contextmanager
def writing(name: str) -> Iterator[IO[bytes]]:
    """Opens a file that appears under its name only when it is complete.

    Args:
        name: Its path; gzip if it ends in `.gz`; `-` for standard output.
    """
    if name == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(f"{name}.part")
    try:
        with gzip.open(part, "wb", compresslevel=6) if name.endswith(".gz") else part.open("wb") as file:
            yield file  # type: ignore[misc]
        os.replace(part, name)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


@contextmanager
def reading(name: str) -> Iterator[IO[bytes]]:
    """Opens a file of exported sessions.

    Args:
        name: Its path; gzip if it ends in `.gz`; `-` for standard input.

    Raises:
        SessionFileError: While it is read: it is no gzip file, or ends too early.
    """
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with gzip.open(name, "rb") if name.endswith(".gz") else Path(name).open("rb") as file:
            yield file  # type: ignore[misc]
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise SessionFileError(f"{name} is damaged: it is no complete gzip file.") from None
