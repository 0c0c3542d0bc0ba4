"""Opens files of exported sessions, compressed or not. A new file appears only when it is complete."""

from __future__ import annotations

import gzip
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from adk_extra_sessions.errors import SessionFileError

STANDARD = "-"
"""The name of standard input or output."""

_GZIP = b"\x1f\x8b"


@contextmanager
def writing(name: str) -> Iterator[IO[bytes]]:
    """Opens a file for writing; it appears under its name only when it is complete.

    An existing file keeps its permissions. Through a symbolic link, the file
    it points to is replaced. A device or FIFO is written to directly.

    Args:
        name: Its path; compressed if it ends in `.gz`; `-` for standard output.

    Raises:
        OSError: It is a directory, or may not be written.
    """
    if name == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(name))
    mode = None
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode
    if mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as device, _compressed(device, name) as written:
            yield written
        return
    if mode is not None:
        target.open("ab").close()  # raises an error if it may not be written
    with _replacing(target, mode) as file, _compressed(file, name) as written:
        yield written


@contextmanager
def reading(name: str) -> Iterator[IO[bytes]]:
    """Opens a file of exported sessions; recognises gzip by its content.

    Args:
        name: Its path; `-` for standard input.

    Raises:
        SessionFileError: Its name ends in `.gz`, but it is not a gzip file.
    """
    with ExitStack() as opened:
        file: Any = sys.stdin.buffer if name == STANDARD else opened.enter_context(open(name, "rb"))
        if file.peek(2)[:2] == _GZIP:
            file = opened.enter_context(gzip.GzipFile(fileobj=file))
        elif name.endswith(".gz"):
            raise SessionFileError(f"{name} is not a gzip file, although its name ends in .gz.")
        yield file


def can_be_read_again(name: str) -> bool:
    """Whether `reading` can open it a second time: it is not standard input, a device or a FIFO."""
    return name != STANDARD and not (Path(name).exists() and not Path(name).is_file())


@contextmanager
def _replacing(target: Path, mode: int | None) -> Iterator[IO[bytes]]:
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    # Never with wider permissions than the file itself will have.
    permissions = 0o666 if mode is None else stat.S_IMODE(mode)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), permissions)  # what the umask took away
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        if error.filename == str(part):  # which nobody has asked for
            error.filename = str(target)
        raise
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


@contextmanager
def _compressed(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    if not name.endswith(".gz"):
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file) as compressed:
        yield cast("IO[bytes]", compressed)
