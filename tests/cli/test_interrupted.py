"""Commands that are interrupted or killed in the middle, and run again."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.conversations import fill_store

from adk_extra_sessions import SessionStore
from adk_extra_sessions.cli.main import main
from adk_extra_sessions.testing.contract.samples import APP
from adk_extra_sessions.transfer import open_place, plan_items

Run = Callable[..., Any]
SLOW, QUICK = "support.slow_source:slow", "support.slow_source:quick"


@pytest.fixture(params=["sqlite", "redis", "mongod"])
def backend(request: pytest.FixtureRequest) -> str:
    """What needs no more than its URL to be opened in another process."""
    return str(request.param)


@pytest.fixture
def place_url(backend: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty place."""
    return str(request.getfixturevalue("sqlite_url" if backend == "sqlite" else "url"))


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Runs a command in a process, which is killed if it outlives the test."""
    # What is started in the background ignores Ctrl-C, and so do its children.
    options["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-c", "from adk_extra_sessions.cli.main import run; run()", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.1)


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Presses it until the process has ended: Python may miss one that comes just when it begins to wait."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)


def some_sessions(url: str, app_name: str = "app") -> bool:
    """Whether a few sessions have arrived."""
    if url.startswith("sqlite") and not os.path.exists(url.removeprefix("sqlite:///")):
        return False
    with open_place(url) as place:
        return sum(1 for _ in place.keys(app_name)) >= 3


def outcomes(url: str) -> list[str]:
    """What a copy to this place would do with each of the hundred sessions."""
    with open_place(QUICK) as source, open_place(url) as place:
        return [one.outcome.value for one in plan_items(source.items(["app"]), place)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_copy_is_completed_when_it_is_run_again(run: Run, place_url: str, how: signal.Signals) -> None:
    with running("copy", SLOW, place_url, "--app", "app") as process:
        wait_for(lambda: some_sessions(place_url) and "the same" in outcomes(place_url))
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
    met = outcomes(place_url)
    assert 0 < met.count("the same") < 100
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "Finishing the sessions in progress" in said and "copied " in said
        assert said.splitlines()[-1] == "Interrupted."
        assert "Traceback" not in said
        assert met.count("continued") == 0
    ran = run("copy", QUICK, place_url, "--app", "app", "--verify")
    assert ran.code == 0
    assert "compared 100 sessions (100 the same)" in ran.err


def test_a_second_ctrl_c_ends_a_command_at_once() -> None:
    with running("copy", "support.slow_source:stuck", "fakeredis://x", "--app", "app") as process:
        assert process.stderr is not None
        while "stuck" not in process.stderr.readline():
            assert process.poll() is None
        press_ctrl_c(process)
        _, said = process.communicate(timeout=200)
    assert (process.returncode, "Interrupted." in said) == (130, False)
    assert "press Ctrl-C again to stop at once" in said


def test_ctrl_c_is_as_before_after_a_command(run: Run) -> None:
    assert run("copy", QUICK, "fakeredis://x", "--app", "app").code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_command_runs_in_any_thread() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["ls", "fakeredis://x"])))
    thread.start()
    thread.join(200)
    assert codes == [0]


def test_an_interrupted_export_leaves_no_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    with running("export", SLOW, str(path), "--app", "app") as process:
        wait_for(lambda: any(tmp_path.iterdir()))
        press_ctrl_c(process)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (130, "Interrupted.")
    assert list(tmp_path.iterdir()) == []
    assert run("export", QUICK, str(path), "--app", "app").code == 0


def test_an_interrupted_import_is_completed_when_it_is_run_again(run: Run, place_url: str, tmp_path: Path) -> None:
    path, fifo = tmp_path / "all.jsonl", tmp_path / "fifo"
    run("export", QUICK, str(path), "--app", "app")
    os.mkfifo(fifo)
    interrupted = threading.Event()

    def feed() -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
            file.write(b"".join(lines[: len(lines) // 2]))
            interrupted.wait(60)

    feeding = threading.Thread(target=feed)
    feeding.start()
    with running("import", str(fifo), place_url) as process:
        wait_for(lambda: some_sessions(place_url))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        interrupted.set()
        feeding.join(60)
    assert (process.returncode, said.splitlines()[-1]) == (130, "Interrupted.")
    ran = run("import", str(path), place_url, "--verify")
    assert ran.code == 0
    assert "compared 100 sessions (100 the same)" in ran.err


@pytest.mark.parametrize("backend", ["redis", "mongod"])
def test_rm_deletes_nothing_when_its_question_is_interrupted(url: str, store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    ours, theirs = pty.openpty()
    with running("rm", url, APP, "u:0", "short", stdin=theirs) as process:
        assert process.stderr is not None
        asked = ""
        while "?" not in asked:
            asked += process.stderr.read(1)
        press_ctrl_c(process)
        _, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, said.splitlines()[-1]) == (130, "Interrupted.")
    assert store.get_session(app_name=APP, user_id="u:0", session_id="short") is not None
