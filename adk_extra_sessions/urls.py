"""URLs: our options in the query string, durations and sizes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import HiddenText, Reading, redact

REDIS_SCHEMES = ("redis", "rediss", "unix", "fakeredis")
MONGO_SCHEMES = ("mongodb", "mongodb+srv", "mongomock")

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) *([a-zA-Z]*)")
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def checked_scheme(url: object, accepted: Collection[str]) -> str:
    """Returns the URL's scheme.

    Raises:
        ConfigurationError: Not a URL, or its scheme is none of `accepted`.
    """
    scheme = url.partition("://")[0] if isinstance(url, str) and "://" in url else ""
    if scheme not in accepted:
        expected = ", ".join(f"{name}://" for name in accepted)
        raise ConfigurationError(f"Not a usable URL: {redact(url)}. It must begin with one of {expected}.")
    return scheme


def take_options(url: str, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """Takes this package's options out of a URL's query string.

    Args:
        url: A URL whose other options are the driver's.
        names: The names of this package's options.

    Returns:
        The URL without them, and their texts by name.

    Raises:
        ConfigurationError: An option is given twice, or the URL is ambiguous.
    """
    if Reading.of(url) is None:
        return url, {}
    reading = _usable(url)
    nameable = set(reading.option_names)
    taken: dict[str, str] = {}
    left = []
    for name, text in query_options(url):
        if name not in names:
            left.append((name, text))
        elif name in taken:
            raise ConfigurationError(f"Option {name!r} is given twice in {redact(url)}.")
        else:
            taken[name] = text if name in nameable else HiddenText(text)
    if not taken:
        return url, {}
    # Not put together again from its parts, which would make unix:/path of unix:///path.
    return url.replace(f"?{reading.query}", f"?{urlencode(left)}" if left else "", 1), taken


def query_names(url: str) -> list[str]:
    """Returns the names of the options in a URL's query string."""
    return [name for name, _ in query_options(url)]


def query_options(url: str) -> list[tuple[str, str]]:
    """Returns the names and texts of the options in a URL's query string."""
    return parse_qsl(_usable(url).query, keep_blank_values=True)


def _usable(url: str) -> Reading:
    reading = Reading.of(url)
    if reading is None or not reading.usable:
        raise ConfigurationError(
            f"Not a usable URL: {redact(url)}. In user name and password, percent-encode all but letters and digits."
        )
    return reading


def joined(taken: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Joins options from the URL with those passed as arguments (None: not passed).

    Raises:
        ConfigurationError: One is in both.
    """
    passed = {name: value for name, value in given.items() if value is not None}
    for name in passed:
        if name in taken:
            raise ConfigurationError(f"Option {name!r} is given in the URL and as an argument.")
    return {**taken, **passed}


def refuse_unknown(url: str, given: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuses options that are not known.

    Args:
        url: The URL, with options in its query string.
        given: The names of options passed as arguments.
        known: The names of all there are.
        what: The driver whose options they are.

    Raises:
        ConfigurationError: There is one; names it, unless it may be part of a password.
    """
    nameable = {*given, *_usable(url).option_names}
    for name in (*given, *query_names(url)):
        if name not in known:
            which = f"Unknown option {name!r}" if name in nameable else f"Unknown option in {redact(url)}"
            raise ConfigurationError(f"{which}; neither {what} nor adk-extra-sessions has it.")


def exactly_one(**given: object) -> None:
    """Raises ConfigurationError unless one of the arguments is not None."""
    names = " or ".join(given)
    passed = [name for name, value in given.items() if value is not None]
    if len(passed) != 1:
        raise ConfigurationError(f"Give exactly one of {names}; got {' and '.join(passed) or 'none of them'}.")


def milliseconds(name: str, value: object) -> int:
    """Returns a duration in milliseconds.

    Args:
        name: The option's name, for the error.
        value: None or 0 for none, seconds, a `timedelta`, or a text such as "90", "45m", "12h", "30d".

    Raises:
        ConfigurationError: Anything else, or less than a millisecond.
    """
    if value is None:
        return 0
    seconds: float | None = None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", value.strip())):
        seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if seconds == 0:
        return 0
    if seconds is None or not 0.001 <= seconds <= 1e11:
        raise ConfigurationError(
            f'{name} must be a duration in seconds, a timedelta or a text such as "30d"; got {value!r}.'
        )
    return int(seconds * 1000)


def size(name: str, value: object) -> int:
    """Returns a size in bytes; 0 for None.

    Args:
        name: The option's name, for the error.
        value: A number of bytes, or a text such as "64MB", "512KiB" or "1.5GB".

    Raises:
        ConfigurationError: Anything else, or less than a byte.
    """
    if value is None:
        return 0
    count: float = 0
    if isinstance(value, int) and not isinstance(value, bool):
        count = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        count = float(match[1]) * _BYTES.get(match[2].lower(), 0)
    if count < 1:
        raise ConfigurationError(f'{name} must be a number of bytes or a text such as "64MB"; got {value!r}.')
    return int(count)


def flag(name: str, value: object) -> bool:
    """Returns a yes-or-no option, which in a URL is a text.

    Raises:
        ConfigurationError: It is neither.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ConfigurationError(f"{name} must be true or false; got {value!r}.")


def choice(name: str, value: object, accepted: tuple[str, ...]) -> Any:
    """Returns an option that must be one of a few words; None for the first of them.

    Raises:
        ConfigurationError: It is none of `accepted`.
    """
    if value is None:
        return accepted[0]
    if value not in accepted:
        raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, accepted))}; got {value!r}.")
    return value
