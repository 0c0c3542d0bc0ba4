"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def selection(function: F) -> F:
    """Adds `--app` and `--user`."""
    function = click.option("users", "--user", multiple=True, metavar="USER", help="Only this user; may be repeated.")(
        function
    )
    return click.option(
        "apps",
        "--app",
        multiple=True,
        metavar="APP",
        help="Only this app; may be repeated. Needed for services that cannot list their apps.",
    )(function)


def as_json(function: F) -> F:
    """Adds `--json`."""
    return click.option("json", "--json", is_flag=True, help="Write JSON, for programs.")(function)


def session_names(function: F) -> F:
    """Adds the arguments that name one session."""
    for name in ("session_id", "user_id", "app_name"):
        function = click.argument(name, metavar={"session_id": "SESSION", "user_id": "USER", "app_name": "APP"}[name])(
            function
        )
    return click.argument("url", metavar="PLACE")(function)
