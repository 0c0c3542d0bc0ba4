"""A process in which the operating system refuses to start a thread."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STACK = 1 << 30
"""Bytes of a new thread's stack: more than the limit leaves."""


@contextmanager
def no_new_threads() -> Iterator[None]:
    """Leaves no memory for a thread's stack, so that the real `Thread.start` fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    size = threading.stack_size(STACK)
    resource.setrlimit(resource.RLIMIT_AS, (used + STACK // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        threading.stack_size(size)
