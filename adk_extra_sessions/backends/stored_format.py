"""The version of the stored form."""

from __future__ import annotations

from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey

FORMAT = 2
"""Version of the stored form; a record with another one is refused. Format 1 was never released."""


def check_format(version: object, key: SessionKey) -> None:
    """Refuses a record that another version of this package wrote, or something else.

    Raises:
        CorruptRecordError: `version` is not `FORMAT`.
    """
    if str(version) != str(FORMAT):
        raise CorruptRecordError(
            f"{key} was stored by another program, or by another version of adk-extra-sessions:"
            f" this one reads and writes format {FORMAT} of what is stored."
        )
