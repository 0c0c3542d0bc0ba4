"""What an examination of a store tells."""

from __future__ import annotations

import shlex
from enum import Enum

from attrs import frozen

from adk_extra_sessions.records import SessionKey


class Level(Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        remedy: What to do; empty when nothing needs to be done.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def rm_command(key: SessionKey) -> str:
    """Returns the command that deletes a session, whatever is wrong with it, as a shell takes it."""
    return f"adk-sessions rm URL {shlex.join((key.app_name, key.user_id, key.session_id))}"
