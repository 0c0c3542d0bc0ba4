"""The findings of the doctor."""

from __future__ import annotations

import shlex
from enum import Enum

from attrs import frozen

from adk_extra_sessions.records import SessionKey


class Level(Enum):
    """How important a finding is."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@frozen
class Finding:
    """One thing that was checked.

    Attributes:
        remedy: What to do; empty if no action is needed.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def rm_command(key: SessionKey) -> str:
    """Returns the shell command that deletes a session, even if it is damaged."""
    return f"adk-sessions rm URL {shlex.join((key.app_name, key.user_id, key.session_id))}"
