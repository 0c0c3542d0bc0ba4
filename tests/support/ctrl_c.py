"""Ctrl-C at a chosen place of a module's code."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any


@contextmanager
def ctrl_c_at(module: ModuleType, number: int, functions: Collection[str] = ()) -> Iterator[threading.Event]:
    """Raises KeyboardInterrupt in this thread, before one of the lines that it runs in a module.

    From Python 3.12 on, an exception that a trace function raises inside a
    comprehension skips the end of a `with` block around it, which no signal
    handler's does. So the module must have no comprehension in such a block.

    Args:
        module: The module.
        number: Which one of the lines run, from 0.
        functions: Only lines of these functions count; by default those of all.

    Yields:
        An event that is set once it was raised.
    """
    raised = threading.Event()
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        code = frame.f_code
        if code.co_filename != module.__file__ or (functions and code.co_name not in functions):
            return None
        # Python runs no signal handlers between a `with` block and the end of its context.
        if event == "line" and not linecache.getline(code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            if not left and not raised.is_set():
                raised.set()
                raise KeyboardInterrupt
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield raised
    finally:
        sys.settrace(before)
