"""The commands in real processes: narrow terminals, those without emoji, pipes, and servers that do not answer."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis
from support.ports import connections, refused_port

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.cli import opening

Run = Callable[..., "object"]

FILL = """
import sys
from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.cli import opening
from adk_extra_sessions.testing.contract.samples import an_event
store = RedisSessionStore("fakeredis://x")
for number in range(2):
    live = store.create_session(app_name="an app", user_id="user-" + "u" * 40, session_id=f"s{number}-" + "s" * 40)
    for _ in range(500 * number):
        store.append_event(live, an_event("caf\\u00e9 \\U0001f6b2"))
opening.QUIET = 3600
"""
USER = "user-" + "u" * 40
LONG = "s1-" + "s" * 40


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", f"{FILL}\nfrom adk_extra_sessions.cli.main import run\nrun()", *arguments]


def read_all(terminal: int) -> bytes:
    """Reads what a process writes to a terminal until it ends; it may come in many pieces."""
    said = b""
    with suppress(OSError):  # all has been read
        while piece := os.read(terminal, 10_000):
            said += piece
    return said


def test_ids_can_be_copied_from_a_narrow_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(command("ls", "fakeredis://x", "an app"), stdout=theirs, env=environment):
        os.close(theirs)
        said = read_all(ours)
    os.close(ours)
    rows = said.splitlines()[1:]
    assert len(rows) == 2 and b"\x1b" not in b"".join(rows)
    assert LONG.encode() in said and USER.encode() in said
    assert "…".encode() not in said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_emoji(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    names = ["fakeredis://x", "an app", USER, LONG, "--last", "1"]
    shown = subprocess.run(command("show", *names), capture_output=True, env=environment, timeout=200)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert ("café ?" if encoding == "cp1252" else "caf? ?") in shown.stdout.decode(encoding)
    shown = subprocess.run(command("show", *names, "--json"), capture_output=True, env=environment, timeout=200)
    assert json.loads(shown.stdout)["events"][0]["content"]["parts"][0]["text"] == "café \U0001f6b2"


@pytest.mark.parametrize("scheme", ["redis", "mongodb"])
@pytest.mark.parametrize("name", ["ls", "doctor", "export"])
def test_a_server_that_says_nothing_is_reported_in_seconds(
    run: Run, scheme: str, name: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opening.SECONDS <= 5
    monkeypatch.setattr(opening, "SECONDS", 2)
    monkeypatch.setattr(opening, "QUIET", 0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://user:hunter2@127.0.0.1:{silent.getsockname()[1]}/0"
        ran = run(name, url, *([f"{tmp_path}/file"] if name == "export" else []))
        tries = connections(silent)
    assert ran.code == (1 if name == "doctor" else 3)
    # What a store of this URL does otherwise: tries again, several times, or waits for a failover.
    assert tries == 1 if scheme == "redis" else "Timeout: 2.0s" in ran.err + ran.out
    assert f"Waiting for an answer from {scheme}://***@127.0.0.1" in ran.err
    assert "hunter2" not in ran.err + ran.out


def test_nobody_waits_for_a_server_that_has_answered(run: Run) -> None:
    before = {*threading.enumerate()}
    assert run("ls", "fakeredis://x").code == 0
    timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer) and one not in before]
    for timer in timers:
        timer.join(20)
        assert not timer.is_alive()


@pytest.mark.parametrize("option", ["serverSelectionTimeoutMS", "timeoutMS"])
def test_a_url_may_say_how_long_to_wait(run: Run, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SECONDS", 0.1)
    with refused_port() as port:
        ran = run("ls", f"mongodb://127.0.0.1:{port}/db?{option}=500")
    assert ran.code == 3
    assert "Timeout: 0." in ran.err and "Timeout: 0.1s" not in ran.err


def test_a_redis_url_with_timeouts_of_its_own_is_tried_as_often_as_by_a_store(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=0.2"
        with RedisSessionStore(url) as store, pytest.raises(redis.TimeoutError):
            store.ping()
        tries = connections(silent)
        assert run("ls", url).code == 3
        assert connections(silent) == tries


@pytest.mark.parametrize("place", ["localhost:6379", "localhost", "127.0.0.1:6379", "localhost:x"])
def test_what_is_no_place_is_answered_with_what_one_looks_like(run: Run, place: str) -> None:
    ran = run("ls", place)
    assert ran.code == 2
    assert "redis://localhost:6379, mongodb://localhost/DATABASE or sqlite:///sessions.db" in ran.err


@pytest.mark.parametrize("backend", ["fakeredis"])
def test_ls_takes_names_as_options_too(run: Run, url: str, store: object) -> None:
    store.create_session(app_name="shop", user_id="ada", session_id="one")  # type: ignore[attr-defined]
    store.create_session(app_name="shop", user_id="bob", session_id="two")  # type: ignore[attr-defined]
    for names in (["shop", "ada"], ["--app", "shop", "--user", "ada"], ["shop", "--user", "ada"]):
        assert [one["session_id"] for one in json.loads(run("ls", url, *names, "--json").out)] == ["one"]
    assert run("ls", url, "shop", "--app", "other").code == 2
    assert run("ls", url, "--user", "ada").code == 2


def test_the_bar_of_doctor_is_never_in_the_same_line_as_a_finding() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(command("doctor", "fakeredis://x"), stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = read_all(ours)
    os.close(ours)
    assert process.returncode == 0
    assert b"reading" in said
    assert said.count(b"\x1b[?25h") == said.count(b"\x1b[?25l") > 0  # the cursor is shown as often as hidden
    shown = [line.rpartition("\x1b[2K")[2] for line in said.decode().splitlines()]
    assert any("server: answers in" in line for line in shown)
    assert not any("reading" in line and ": " in line for line in shown), shown
