"""What an examination of a store tells."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


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
