"""A password in a URL shows nowhere, whatever characters it has, wherever it stands, and however it is written."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ports import free_port

from adk_extra_sessions import (
    ConfigurationError,
    MongoSessionService,
    MongoSessionStore,
    RedisSessionService,
    RedisSessionStore,
)
from adk_extra_sessions.cli.main import main
from adk_extra_sessions.redaction import redact, redact_text

PORT = free_port()
HOST = f"127.0.0.1:{PORT}"

REDIS = [
    "redis://app:{}@HOST/0",
    "redis://:{}@HOST",
    "redis://{}@HOST/0?ttl=30d",
    "redis://app:{}@HOST/0?ttl=30d&socket_timeout=1",
    "rediss://app:{}@HOST?prefix=shop",
    "unix://app:{}@/run/none.sock?db=1",
    "redis://HOST/0?password={}",
    "redis://HOST/0?ttl=30d&password={}&db=1",
    "redis://HOST/0?username={}&password={}",
    "redis://app:{}@HOST/0?nix=1",
    "redis://app:{}@HOST/0?ttl=soon",
    "redis://app:{}@HOST:port",
    "app:{}@HOST",
    "http://app:{}@HOST",
]
MONGODB = [
    "mongodb://app:{}@HOST/shop",
    "mongodb://app:{}@HOST,HOST/shop?ttl=30d",
    "mongodb://{}:{}@HOST/shop?w=1&collection_prefix=a_",
    "mongodb://HOST/shop?tlsCertificateKeyFilePassword={}",
    "mongodb://app:x@HOST/shop?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:{}",
    "mongodb://app:{}@HOST/shop?nix=1",
    "mongodb://app:{}@HOST/shop?maxPoolSize=many",
    "mongodb://app:{}@HOST",
    "mongomock://app:{}@name/shop",
    "app:{}@HOST/shop",
]

bounded = settings(
    max_examples=8, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

awkward = st.sampled_from("?@/#&=[]:;,% +%$!~\\\"'|<>{}éß")
passwords = st.text(awkward | st.sampled_from("Secret1Zz"), min_size=1, max_size=12) | st.sampled_from(
    ["a", "@", "Top?Secret1", "Top@Secret1", "Top?ttl=Secret1", "1234?ttl=Secret1", "a&ttl=Secret1", "1234/Secret1"]
)
encodings: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, lambda text: quote(text, safe=""), quote_plus]
)


def made_from(template: str, password: str) -> str:
    """A URL with the password in it."""
    return template.replace("HOST", HOST).replace("{}", password)


def said_of(error: BaseException | None) -> Iterator[str]:
    """What an error and those that led to it show."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args))
        error = error.__cause__ or error.__context__


def everything_said(template: str, password: str) -> str:
    """Makes stores and services of a URL, uses them, and returns all that they and their errors show."""
    url = made_from(template, password)
    said = [redact(url)]
    quick: dict[str, Any]
    if not template.startswith(("mongo", "app:{}@HOST/shop")):
        makers: list[Callable[..., Any]] = [RedisSessionStore, RedisSessionService]
        quick = {"retry": None}
    else:
        makers = [MongoSessionStore, MongoSessionService]
        quick = {"serverSelectionTimeoutMS": 1}
    for make in makers:
        try:
            made = make(url, **quick)
        except (ConfigurationError, ImportError) as error:
            said += said_of(error)
            continue
        store = getattr(made, "store", made)
        said += [repr(made), repr(store.__dict__["options"]), store._errors.server]
        with suppress(TypeError):
            copy = pickle.loads(pickle.dumps(made))
            said.append(repr(copy))
            getattr(copy, "store", copy).close()
        if made is store and not template.startswith("mongomock"):
            try:
                store.ping()
            except Exception as error:
                said += said_of(error)
        store.close()
    return "\n".join(said)


@lru_cache
def own_words(template: str) -> str:
    """What is shown with a password that is found nowhere."""
    return everything_said(template, "9")


def shows(said: str, password: str, own: str) -> bool:
    """Whether a text shows a password that is long enough to be told from the text's own words."""
    forms = {password, quote(password, safe=""), quote_plus(password), repr(password)[1:-1]}
    return any(form in said and form not in own for form in forms if len(form) >= 4)


@pytest.mark.parametrize("template", [*REDIS, *MONGODB])
@given(passwords, encodings)
@bounded
def test_a_password_shows_nowhere(template: str, password: str, encode: Callable[[str], str]) -> None:
    assert not shows(everything_said(template, encode(password)), password, own_words(template))


@pytest.mark.parametrize(
    "url",
    [
        "redis://app:Top?Secret1@HOST/0?ttl=30d",
        "redis://app:Top?ttl=Secret1@HOST/0",
        "redis://app:1234?ttl=Secret1@HOST/0",
        "redis://app:1234?Secret1=x@HOST/0",
        "redis://app:1234/Secret1@HOST/0",
        "redis://app:1234#Secret1@HOST/0",
        "redis://app:Top[Secret1]x@HOST/0",
        "redis://HOST/0?password=Top@Secret1",
        "redis://HOST/0?password=Top&ttl=Secret1",
        "redis://HOST/0?password=Top&Secret1=2",
        "mongodb://app:Top?Secret1@HOST/shop?ttl=30d",
        "mongodb://app:1234?ttl=Secret1@HOST/shop",
        "mongodb://app:1234?Secret1=x@HOST/shop",
        "mongodb://HOST/shop?tlsCertificateKeyFilePassword=Top&Secret1=2",
    ],
)
def test_not_even_a_part_of_a_password_shows(url: str) -> None:
    assert "Secret1" not in everything_said(url, "")


@pytest.mark.parametrize("template", ["redis://app:{}@HOST/0?ttl=30d", "mongodb://app:{}@HOST/shop?ttl=30d"])
def test_messages_still_tell_the_server_and_what_is_wrong(template: str) -> None:
    cls: Any = RedisSessionStore if template.startswith("redis") else MongoSessionStore
    said = everything_said(template, quote("Top?Secret1", safe=""))
    assert HOST in said and "?ttl=30d" in said
    with pytest.raises(ConfigurationError, match="percent-encode"):
        cls(made_from(template, "Top?Secret1"))
    with pytest.raises(ConfigurationError, match="Unknown option 'tll'"):
        cls(made_from(template, "x") + "&tll=30d")
    with pytest.raises(ConfigurationError, match="got 'soon'"):
        cls(made_from(template, "x").replace("30d", "soon"))


@pytest.mark.parametrize(
    "template", ["redis://app:{}@HOST/0", "redis://HOST/0?password={}", "postgresql+x://u:{}@HOST/d"]
)
@given(passwords, encodings)
@bounded
def test_the_command_line_shows_no_password(template: str, password: str, encode: Callable[[str], str]) -> None:
    url = made_from(template, encode(password))
    for arguments in (
        ["ls", f"{url}{'&' if '?' in template else '?'}nix=1"],
        ["ls", url, "app", "user", url],
        [url],
        ["doctor", url, "--nix"],
    ):
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(said):
            assert main(arguments) != 0
        assert not shows(said.getvalue(), password, own_words(template) + "No such command PLACE Usage Error app user")
        assert "Error" in said.getvalue()


def test_a_short_password_garbles_no_message() -> None:
    url = "postgresql://u:a@host/data"
    said = f"cannot reach a database at {url}: a failure"
    assert redact_text(said, url) == "cannot reach a database at postgresql://***@host/data: a failure"
    assert redact_text("nothing at u:a@host", url) == "nothing at ***@host"
    assert redact_text("p@ss:word, p%40ss:word", "mongodb://user:p%40ss:word@host/db") == "***, ***"
