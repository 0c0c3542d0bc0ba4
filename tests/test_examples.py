"""The examples run offline: on fakes, and without a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples" / "sessions"

# Empty, not absent: so a .env beside the examples cannot fill them in.
OFFLINE = dict.fromkeys(("GOOGLE_API_KEY", "REDIS_URL", "MONGO_URL", "MONGO_DB"), "")


def run(name: str) -> str:
    ran = subprocess.run(
        [sys.executable, EXAMPLES / name], capture_output=True, text=True, env={**os.environ, **OFFLINE}, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("name", "fake"), [("redis_session_example.py", "fakeredis"), ("mongodb_session_example.py", "mongomock")]
)
def test_second_service_remembers(name: str, fake: str) -> None:
    said, remembered = run(name).split("-- a new service object, as after a restart --")
    assert f"'{fake}://example'" in said
    assert "Agent: HELLO FROM RUN 1" in said
    assert "Agent: You said: hello from run 1." in remembered


def test_store_needs_no_event_loop() -> None:
    told = run("notebook_without_event_loop.py")
    assert "user: Hello!\nagent: Hello!\n" in told
    assert "'met': True" in told
    assert "User's state: {'language': 'en'}" in told
