"""Checks arguments of the methods to manage sessions, before anything is written."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import get_args

from adk_extra_sessions.details import DEFAULT, NEVER, UNSET, Lifetime, Unset
from adk_extra_sessions.errors import ConfigurationError, InputValidationError
from adk_extra_sessions.queries import Order
from adk_extra_sessions.records import checked_name
from adk_extra_sessions.urls import milliseconds

LABELS = 64
"""How many labels a session may have, as Vertex AI's sessions."""

LABEL_LENGTH = 64
"""Characters that a label's name and its value may have, each."""

_YEAR_10000 = 253_402_300_800.0


def checked_display_name(value: object) -> str | None:
    """Returns a session's name.

    Raises:
        InputValidationError: Neither text nor None.
    """
    return None if value is None else checked_name("display_name", value)


def checked_labels(value: object) -> dict[str, str]:
    """Returns labels; None for no labels.

    Raises:
        InputValidationError: They are not a dictionary of texts, or exceed a limit.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputValidationError(f"labels must be a dictionary, not {type(value).__name__}.")
    if len(value) > LABELS:
        raise InputValidationError(f"A session may have {LABELS} labels, not {len(value)}.")
    labels = {
        checked_name("A label's name", name): checked_name("A label's value", text) for name, text in value.items()
    }
    for name, text in labels.items():
        if not name or len(name) > LABEL_LENGTH or len(text) > LABEL_LENGTH:
            raise InputValidationError(
                f"A label's name must have 1 to {LABEL_LENGTH} characters, its value at most {LABEL_LENGTH}."
            )
    return labels


def checked_lifetime(ttl: object, expire_time: object) -> Lifetime:
    """Returns a session's own lifetime.

    Args:
        ttl: A duration, as the store's `ttl`; None for never.
        expire_time: A moment in the future; None for never.

    Raises:
        InputValidationError: Either is wrong, or both are given.
    """
    given = [value for value in (ttl, expire_time) if not isinstance(value, Unset)]
    wanted = [value for value in given if value is not None]
    if len(wanted) == 2:
        raise InputValidationError("Give ttl or expire_time, not both.")
    if not wanted:
        return NEVER if given else DEFAULT
    if wanted[0] is ttl:
        ttl_ms = _milliseconds("ttl", ttl)
        if not ttl_ms:
            raise InputValidationError("ttl must be longer than 0; None lets the session stay.")
        return Lifetime.sliding(ttl_ms)
    moment = _moment("expire_time", expire_time)
    if moment <= time.time():
        raise InputValidationError("expire_time must be in the future.")
    return Lifetime.until(moment)


def checked_changed_lifetime(ttl: object, expire_time: object) -> Lifetime | Unset:
    """Returns a session's new lifetime as `checked_lifetime` does; UNSET when neither is given."""
    return UNSET if ttl is UNSET and expire_time is UNSET else checked_lifetime(ttl, expire_time)


def checked_before(value: object) -> float | None:
    """Returns the moment before which a session must have been updated last, in seconds since the epoch; None for any.

    Args:
        value: None, or a moment: seconds since the epoch, an aware datetime, its text in ISO 8601; or how long ago:
            a timedelta, or a text such as "30d".

    Raises:
        InputValidationError: Anything else.
    """
    if value is None:
        return None
    if isinstance(value, timedelta) or (isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?[smhdw]", value.strip())):
        return time.time() - _milliseconds("before", value) / 1000
    return _moment("before", value, ', or how long ago, such as "30d"')


def checked_order(order_by: object, user_id: str | None) -> Order:
    """Returns in what order sessions are listed.

    Raises:
        InputValidationError: It is not a known order, or it needs a `user_id`.
    """
    if order_by is None:
        return "storage"
    if order_by == "update_time asc":
        order_by = "update_time"
    for order in get_args(Order):
        if order_by == order != "storage":
            if user_id is None:
                raise InputValidationError("order_by needs a user_id: the sessions of all users have no order.")
            return order  # type: ignore[no-any-return]
    raise InputValidationError(f'order_by must be "update_time" or "update_time desc"; got {order_by!r}.')


def checked_number(name: str, value: object, least: int) -> int:
    """Returns a whole number.

    Args:
        name: The argument's name, for the error.
        value: Anything a caller passed.
        least: The smallest number allowed.

    Raises:
        InputValidationError: Anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputValidationError(f"{name} must be an integer, {least} or more.")
    return value


def _milliseconds(name: str, value: object) -> int:
    try:
        return milliseconds(name, value)
    except ConfigurationError as error:
        raise InputValidationError(str(error)) from None


def _moment(name: str, value: object, or_else: str = "") -> float:
    """Returns seconds since the epoch of these, of an aware datetime, or of its text in ISO 8601."""
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", moment.strip()))
        except ValueError:
            moment = None
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InputValidationError(f"{name} must have a time zone, as datetime.now(timezone.utc) has.")
        return moment.timestamp()
    if isinstance(moment, (int, float)) and not isinstance(moment, bool) and abs(moment) < _YEAR_10000:
        return float(moment)
    raise InputValidationError(
        f"{name} must be seconds since the epoch, a datetime with a time zone or its text in ISO 8601{or_else};"
        f" got {value!r}."
    )
