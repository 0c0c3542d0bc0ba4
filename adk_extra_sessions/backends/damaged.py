"""What is damaged is named, and keeps nothing else from being listed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey

logger = logging.getLogger(__name__)


DAMAGE = (CorruptRecordError, KeyError, TypeError, ValueError, AttributeError)
"""What reading a record causes that lacks a field, holds another type in it, or is foreign."""


@contextmanager
def damage_named(key: SessionKey) -> Iterator[None]:
    """Turns what reading a damaged record causes into `CorruptRecordError`."""
    try:
        yield
    except DAMAGE as error:
        raise _named(key, error) from None


@contextmanager
def left_out_if_damaged(key: SessionKey) -> Iterator[None]:
    """Leaves what is damaged, foreign or from another version out of a list, with a warning that names it."""
    try:
        yield
    except DAMAGE as error:
        leave_out(key, error)


def leave_out(key: SessionKey, error: Exception) -> None:
    """Warns of what is left out of a list."""
    logger.warning("Left out of a list: %s", _named(key, error))


def _named(key: SessionKey, error: Exception) -> CorruptRecordError:
    if isinstance(error, CorruptRecordError):
        return error
    return CorruptRecordError(f"{key} cannot be read: what is stored is damaged.")
