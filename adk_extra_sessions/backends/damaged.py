"""Damaged records: errors name them, and lists leave them out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey

logger = logging.getLogger(__name__)


DAMAGE = (CorruptRecordError, KeyError, TypeError, ValueError, AttributeError)
"""The errors from reading a record that lacks a field, has one of another type, or is foreign."""


@contextmanager
def damage_named(key: SessionKey) -> Iterator[None]:
    """Turns the errors from reading a damaged record into `CorruptRecordError`."""
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
