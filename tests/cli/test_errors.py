"""What goes wrong is told in one line, with an exit code, and without a password."""

from __future__ import annotations

import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from support.ports import refused_port

from adk_extra_sessions import ConfigurationError
from adk_extra_sessions.cli.errors import explain, one_line
from adk_extra_sessions.cli.main import main

Run = Callable[..., "object"]
SECRET = "hunter2%21"


def in_a_process(*arguments: str, before: str = "") -> list[str]:
    """The command line of a process that runs `adk-sessions`."""
    return [sys.executable, "-c", f"{before}\nfrom adk_extra_sessions.cli.main import run\nrun()", *arguments]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["nix"], 2, "No such command"),
        (["ls"], 2, "Missing argument"),
        (["ls", "nix"], 2, "Expected a URL such as redis://"),
        (["ls", f"redis://user:{SECRET}@127.0.0.1:{{port}}"], 3, "ConnectionError"),
        (["ls", f"redis://127.0.0.1:{{port}}?password={SECRET}"], 3, "ConnectionError"),
        (["ls", f"mongodb://u:{SECRET}@127.0.0.1:{{port}}/db?serverSelectionTimeoutMS=200"], 3, "ServerSelection"),
        (["ls", f"mongodb://u:{SECRET}@127.0.0.1:{{port}}"], 2, "No database"),
        (["ls", f"redis://u:{SECRET}@host?nix=1"], 2, "Unknown option 'nix'"),
        (["ls", f"nix://u:{SECRET}@host/db", "app"], 2, "ADK cannot open"),
        (["copy", "fakeredis://a", "sqlite:////no/such/folder/a.db"], 2, "There are no sessions"),
        (["copy", "sqlite:////no/such/file.db", "fakeredis://a"], 2, "File '/no/such/file.db' does not exist"),
        (["export", "sqlite:////no/such/file.db", os.devnull], 2, "File '/no/such/file.db' does not exist"),
        (["ls", "sqlite:////no/such/file.db"], 2, "File '/no/such/file.db' does not exist"),
        (["show", "sqlite:////no/such/file.db", "app", "user", "one"], 2, "File '/no/such/file.db' does not exist"),
        (["rm", "sqlite:////no/such/file.db", "app", "user", "one"], 2, "File '/no/such/file.db' does not exist"),
        (["ls", "fakeredis://a", "app", "--users", "--label", "a=b"], 2, "--label selects sessions"),
        (["rm", "redis://127.0.0.1:{port}"], 2, "Give APP USER SESSION, or --older-than"),
        (["rm", "redis://127.0.0.1:{port}", "app", "user"], 2, "Give APP USER SESSION, or --older-than"),
        (["copy", "memory://", "fakeredis://a"], 2, "--app"),
        (["ls", "redis://127.0.0.1:{port}", "app", "--label", "=x"], 2, "--label"),
        (["import", "/no/such/file", "fakeredis://a"], 2, "/no/such/file: No such file"),
        (["import", os.devnull, "fakeredis://a"], 2, "Not a file of exported sessions"),
        (["export", "redis://127.0.0.1:{port}", "/no/such/folder/file"], 2, "/no/such/folder/file: No such file"),
        (["show", "fakeredis://a", "app", "user", "one"], 1, "does not exist"),
        (["rm", "fakeredis://a", "app", "user", "one", "--yes"], 1, "does not exist"),
        (["doctor", "memory://"], 2, "can only check stores of this package"),
        (["doctor", f"redis://user:{SECRET}@127.0.0.1:{{port}}"], 1, ""),
        (["--version"], 0, ""),
        (["--help"], 0, ""),
        (["copy", "--help"], 0, ""),
    ],
    ids=lambda value: " ".join(value).partition("://")[0] if isinstance(value, list) else None,
)
def test_exit_codes(run: Run, arguments: list[str], code: int, reason: str) -> None:
    with refused_port() as port:
        ran = run(*(argument.format(port=port) for argument in arguments))
    assert ran.code == code, ran.err
    assert reason in ran.err
    assert "hunter2" not in ran.out + ran.err
    if ran.err.startswith("Error"):
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("argument", ["mongodb://user:p%40ss:word@host/db", "env:SOME_URL"])
def test_a_password_in_a_drivers_message_is_hidden(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", "mongodb://user:p%40ss:word@host/db")
    assert one_line("cannot use p%40ss:word or p@ss:word at host", ["ls", argument]) == "cannot use *** or *** at host"


@pytest.mark.parametrize("command", ["ls", "doctor"])
def test_what_a_server_says_is_shown_without_passwords_and_control_characters(run: Run, command: str) -> None:
    with a_redis_server_that_only_says(b"-ERR hunter2! is not\x1b[31m welcome\r\n") as port:
        ran = run(command, f"redis://ada:{SECRET}@127.0.0.1:{port}")
    assert ran.code == (1 if command == "doctor" else 3)
    assert "*** is not\ufffd[31m welcome" in ran.out + ran.err
    assert "hunter2" not in ran.out + ran.err and "\x1b" not in ran.out + ran.err


@contextmanager
def a_redis_server_that_only_says(reply: bytes) -> Iterator[int]:
    """Answers every request so; returns its port."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                while self.request.recv(10_000):
                    self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_message_is_one_short_line() -> None:
    assert one_line("No server, Timeout: 4s, Topology Description: <...>", []) == "No server, Timeout: 4s"
    assert explain(RuntimeError("two\nlines"))[1] == "RuntimeError: two lines"
    assert explain(ConnectionResetError("no more"))[1] == "ConnectionResetError: no more"
    assert len(explain(RuntimeError("x" * 10_000))[1]) < 600


def test_a_traceback_is_for_those_who_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["ls", "nix"]) == 2
    monkeypatch.setenv("ADK_SESSIONS_TRACEBACK", "1")
    with pytest.raises(ConfigurationError):
        main(["ls", "nix"])


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    command = ["bash", "-c", f'"$@" {closed}', "bash", *in_a_process("ls", "fakeredis://a")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0
    assert "2>&-" in closed or ran.stderr.endswith("No sessions found.\n")
    assert "Error" not in ran.stderr


def test_rm_deletes_nothing_without_an_answer() -> None:
    fill = "from adk_extra_sessions import RedisSessionStore as S; s = S('fakeredis://x')\n"
    fill += "s.create_session(app_name='app', user_id='u', session_id='s')"
    command = in_a_process("rm", "fakeredis://x", "app", "u", "s", before=fill)
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 1
    assert ran.stderr.endswith("To delete without being asked: --yes.\nNothing was deleted.\n")


def test_a_missing_package_is_named_with_its_remedy() -> None:
    command = in_a_process("ls", "nix", before="import sys; sys.modules['rich'] = None")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.strip() == "adk-sessions needs rich: install the extra 'cli' of adk-extra-sessions"


def test_the_overview_of_commands_needs_no_adk() -> None:
    check = "import atexit, sys; atexit.register(lambda: sys.stderr.write(str('google.adk' in sys.modules)))"
    ran = subprocess.run(in_a_process("--help", before=check), capture_output=True, text=True, timeout=200)
    assert (ran.returncode, ran.stderr) == (0, "False")
    assert "doctor" in ran.stdout


@pytest.mark.parametrize(
    ("lines", "options"), [(1, ["--limit", "0"]), (0, ["--limit", "1"]), (0, ["--limit", "1", "--json"])], ids=str
)
def test_a_reader_that_goes_away_is_no_error(lines: int, options: list[str]) -> None:
    fill = (
        "from adk_extra_sessions import RedisSessionStore as S; s = S('fakeredis://x')\n"
        "from adk_extra_sessions.cli import opening; opening.QUIET = 3600  # however slow the machine is\n"
        "for n in range(300): s.create_session(app_name='app', user_id='u', session_id='s' * 2000 + str(n))"
    )
    command = in_a_process("ls", "fakeredis://x", "app", *options, before=fill)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    with os.fdopen(read) as reader:
        if not lines:
            reader.close()  # before it starts, so that it cannot have ended by then
        with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True, env=buffered) as process:
            os.close(write)
            for _ in range(lines):
                reader.readline()
            reader.close()
            assert process.stderr is not None
            process.wait(timeout=200)
            assert (process.returncode, process.stderr.read()) == (1, "")
