"""The entry point: the group of commands, and what becomes of errors.

Exit codes: 0 all well; 1 done, but not all is well (a session was refused or
differs, is not there, or the doctor found a problem); 2 the command cannot be
carried out as given (arguments, URLs, files); 3 a server or database refused
or could not be reached; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

WRONG = 2
REFUSED = 3
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code.

    Args:
        arguments: Of the command line; None for the process's own.
    """
    try:
        import click
        import rich  # noqa: F401  (what the commands need)

        from adk_extra_sessions.cli.group import commands
    except ModuleNotFoundError as error:
        print(f"adk-sessions needs {error.name}: pip install 'adk-extra-sessions[cli]'", file=sys.stderr)  # noqa: T201
        return WRONG
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return commands.main(given, prog_name="adk-sessions", standalone_mode=False) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
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
    """Runs the process's own command line."""
    # Python has None for a stream that was closed when it started, as `>&-` does.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no emoji shows "?" instead
    code = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as `head` does; the interpreter would flush again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or 1
    if code == INTERRUPTED:
        # Nothing may hold the process up any more, as a connection attempt in a thread would.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
