"""Processes that stop running for a while, as on a machine that was suspended."""

from __future__ import annotations

import os
import signal
import subprocess
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
