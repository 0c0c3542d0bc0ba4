"""URLs and the options in them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adk_extra_sessions.errors import ConfigurationError
from adk_extra_sessions.redaction import redact
from adk_extra_sessions.urls import milliseconds, take_options


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:1/0", "redis://host:1/0"),
        ("redis://user:secret@host:1/0", "redis://***@host:1/0"),
        ("redis://:se@cret@host", "redis://***@host"),
        ("redis://:se/cret@host", "redis://***@host"),
        ("redis://:se/cr?et@host", "redis://***"),
        ("mongodb://u:secret@a:1,b:2/db?w=1", "mongodb://***@a:1,b:2/db?w=1"),
        ("redis://host?password=secret&db=1", "redis://host?password=***"),
        ("redis://host?ssl_password=secret", "redis://host?ssl_password=***"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=secret", "mongodb://h/?tlsCertificateKeyFilePassword=***"),
        ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:secret", "mongodb://h/?authMechanismProperties=***"),
        (b"redis://user:secret@host", "a bytes"),
    ],
)
def test_a_shown_url_has_no_secret(url: object, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, 0),
        (0, 0),
        (1, 1000),
        (0.5, 500),
        (timedelta(minutes=2), 120_000),
        ("90", 90_000),
        ("1.5s", 1500),
        ("45m", 2_700_000),
        ("12h", 43_200_000),
        ("30d", 2_592_000_000),
        (" 1w ", 604_800_000),
    ],
)
def test_durations(given: object, expected: int) -> None:
    assert milliseconds("ttl", given) == expected


@pytest.mark.parametrize("given", [-1, 0.0001, "soon", "1y", True, float("nan"), float("inf"), [], timedelta(-1)])
def test_wrong_durations_are_refused_by_name(given: object) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        milliseconds("ttl", given)


def test_our_options_are_taken_and_the_rest_is_left_alone() -> None:
    url = "mongodb://u:p%40@a,b:2/db?ttl=5&w=majority&readPreferenceTags=dc:ny&readPreferenceTags=&prefix="
    left, taken = take_options(url, ("ttl", "prefix"))
    assert taken == {"ttl": "5", "prefix": ""}
    assert left == "mongodb://u:p%40@a,b:2/db?w=majority&readPreferenceTags=dc%3Any&readPreferenceTags="
    assert take_options("unix:///run/a.sock?ttl=5&db=1", ("ttl",)) == ("unix:///run/a.sock?db=1", {"ttl": "5"})
    assert take_options("unix:///run/a.sock?ttl=5", ("ttl",)) == ("unix:///run/a.sock", {"ttl": "5"})
    assert take_options("redis://h/0", ("ttl",)) == ("redis://h/0", {})
