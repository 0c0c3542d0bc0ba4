"""Processes that stop running for a while, as on a machine that was suspended, and forked children."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any


def pause(process: subprocess.Popen[Any] | None) -> None:
    """Stops a child process until `resume`; returns once none of its threads runs any more."""
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)  # a thread may have run on for some milliseconds, and answered


def resume(process: subprocess.Popen[Any] | None) -> None:
    """Lets a process run on."""
    assert process is not None
    process.send_signal(signal.SIGCONT)


def check_in_a_child(check: Callable[[], bool]) -> None:
    """Forks a child, and fails unless the check holds there within a minute."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
