"""What goes wrong is told in one line, with an exit code, and without a password."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import free_port

from adk_extra_sessions.cli.errors import explain, hidden
from adk_extra_sessions.transfer import open_place, plan_items

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
        (["copy", "memory://", "fakeredis://a"], 2, "--app"),
        (["import", "/no/such/file", "fakeredis://a"], 2, "/no/such/file: No such file"),
        (["import", os.devnull, "fakeredis://a"], 2, "Not a file of exported sessions"),
        (["export", "fakeredis://a", "/no/such/folder/file"], 2, "No such file or directory"),
        (["show", "fakeredis://a", "app", "user", "one"], 1, "does not exist"),
        (["rm", "fakeredis://a", "app", "user", "one", "--yes"], 1, "does not exist"),
        (["doctor", "memory://"], 2, "can only check redis://"),
        (["doctor", f"redis://user:{SECRET}@127.0.0.1:{{port}}"], 1, ""),
        (["--version"], 0, ""),
        (["--help"], 0, ""),
        (["copy", "--help"], 0, ""),
    ],
    ids=lambda value: " ".join(value).partition("://")[0] if isinstance(value, list) else None,
)
def test_exit_codes(run: Run, arguments: list[str], code: int, reason: str) -> None:
    ran = run(*(argument.format(port=free_port()) for argument in arguments))
    assert ran.code == code, ran.err
    assert reason in ran.err
    assert "hunter2" not in ran.out + ran.err
    if ran.err.startswith("Error"):
        assert len(ran.err.splitlines()) == 1


def test_a_password_in_a_drivers_message_is_hidden() -> None:
    url = "mongodb://user:p%40ss:word@host/db"
    assert hidden("cannot use p%40ss:word or p@ss:word at host", [url]) == "cannot use *** or *** at host"
    assert explain(RuntimeError("two\nlines"))[1] == "RuntimeError: two lines"
    assert len(explain(RuntimeError("x" * 10_000))[1]) < 600


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    command = ["bash", "-c", f'"$@" {closed}', "bash", *in_a_process("ls", "fakeredis://a")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0
    assert "2>&-" in closed or ran.stderr.endswith("No sessions found.\n")
    assert "Error" not in ran.stderr


def test_rm_deletes_nothing_without_an_answer() -> None:
    fill = "from adk_extra_sessions import RedisSessionStore as S; s = S('fakeredis://x')\n"
    fill += "s.create_session(app_name='app', user_id='u', session_id='s')"
    command = in_a_process("rm", "fakeredis://x", "app", "u", "s", before=fill)
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert ran.stderr.endswith("To delete without being asked: --yes.\nNothing was deleted.\n")


def test_a_missing_package_is_named_with_its_remedy() -> None:
    command = in_a_process("ls", "nix", before="import sys; sys.modules['rich'] = None")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.strip() == "adk-sessions needs rich: pip install 'adk-extra-sessions[cli]'"


def test_the_overview_of_commands_needs_no_adk() -> None:
    check = "import atexit, sys; atexit.register(lambda: sys.stderr.write(str('google.adk' in sys.modules)))"
    ran = subprocess.run(in_a_process("--help", before=check), capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "False")
    assert "doctor" in ran.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    fill = (
        "from adk_extra_sessions import RedisSessionStore as S; s = S('fakeredis://x')\n"
        "for n in range(3000): s.create_session(app_name='app', user_id='u', session_id='s' * 2000 + str(n))"
    )
    command = in_a_process("ls", "fakeredis://x", "app", "--limit", "0", before=fill)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == ""


SLOW = """
import asyncio
from google.adk.events import Event
from google.adk.sessions import InMemorySessionService

class Slow(InMemorySessionService):
    pause = 0.1

    async def get_session(self, **names):
        await asyncio.sleep(self.pause)
        return await super().get_session(**names)

async def slow():
    service = Slow()
    for number in range(100):
        live = await service.create_session(app_name="app", user_id="u", session_id=f"s{number}", state={"n": number})
        for event in range(3):
            await service.append_event(live, Event(author="user", timestamp=1000.0 + event, id=f"e{event}"))
    return service

async def quick():
    service = await slow()
    service.pause = 0
    return service
"""


def test_ctrl_c_leaves_no_session_half_done_and_the_copy_can_be_completed(
    run: Run, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_source.py").write_text(SLOW)
    command = in_a_process("copy", "slow_source:slow", sqlite_url, "--app", "app")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_for_sessions(sqlite_url)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Finishing the sessions in progress" in said
    assert said.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in said
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with open_place("slow_source:quick") as source, open_place(sqlite_url) as place:
        met = [one.outcome.value for one in plan_items(source.items(["app"]), place)]
    assert 0 < met.count("the same") < 100
    assert met.count("continued") == 0
    ran = run("copy", "slow_source:quick", sqlite_url, "--app", "app", "--verify")
    assert ran.code == 0
    assert f"copied 100 sessions ({met.count('created')} created, {met.count('the same')} the same)" in ran.err


def wait_for_sessions(url: str) -> None:
    """Waits until some sessions have been copied."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if os.path.exists(url.removeprefix("sqlite:///")):
            with open_place(url) as place:
                if sum(1 for _ in place.keys("app")) >= 3:
                    return
    pytest.fail("nothing was copied in a minute")
