"""The entry point: runs a command and reports its errors.

Exit codes: 0 success; 1 completed with problems (a session was refused, differs,
is damaged or does not exist, or doctor found a problem); 2 the command cannot be
carried out (wrong arguments, URL or file); 3 a server or database refused, or
cannot be reached; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

DAMAGED = 1
WRONG = 2
REFUSED = 3
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code.

    Args:
        arguments: The command line; None for that of the process.
    """
    try:
        import click
        import rich  # noqa: F401  (what the commands need)

        from adk_extra_sessions.cli.group import commands
    except ModuleNotFoundError as error:
        print(f"adk-sessions needs {error.name}: install the extra 'cli' of adk-extra-sessions", file=sys.stderr)  # noqa: T201
        return WRONG
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return commands.main(given, prog_name="adk-sessions", standalone_mode=False) or 0
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        from adk_extra_sessions.cli.secrets import without_secrets

        print(without_secrets(said.getvalue(), given), end="", file=sys.stderr)  # noqa: T201
        return WRONG
    except (KeyboardInterrupt, click.Abort):
        print("Interrupted.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("ADK_SESSIONS_TRACEBACK"):
            raise
        from adk_extra_sessions.cli.errors import explain

        code, text = explain(error, given)
        print(f"Error: {text}", file=sys.stderr)  # noqa: T201
        return code


def run() -> None:
    """Runs the command line of the process."""
    # A stream is None if it was closed when Python started, as with `>&-`.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an encoding without emoji gets "?" instead
    code = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader is gone, such as `head`; Python would flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or 1
    if code == INTERRUPTED:
        # Exit at once, without waiting for threads, such as one that is trying to connect.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
