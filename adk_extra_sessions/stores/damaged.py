"""What is damaged is named, and keeps nothing else from being listed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey

logger = logging.getLogger(__name__)


@contextmanager
def damage_named(key: SessionKey) -> Iterator[None]:
    """Turns what reading a damaged record causes into `CorruptRecordError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CorruptRecordError(f"{describe(key)} cannot be read: what is stored is damaged.") from None


@contextmanager
def left_out_if_damaged() -> Iterator[None]:
    """Leaves what is damaged, foreign or from a newer version out of a list, with a warning that names it."""
    try:
        yield
    except CorruptRecordError as error:
        logger.warning("Left out of a list: %s", error)
