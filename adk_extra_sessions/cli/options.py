"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from adk_extra_sessions.errors import InputValidationError
from adk_extra_sessions.validation import checked_labels

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


def labels_option(function: F) -> F:
    """Adds `--label NAME=TEXT`, which may be repeated."""
    return click.option(
        "labels",
        "--label",
        multiple=True,
        metavar="NAME=TEXT",
        callback=_labels,
        help="Only sessions with this label; may be repeated.",
    )(function)


def _labels(ctx: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if not all(sign for _, sign, _ in pairs):
        raise click.BadParameter("write a name, an equals sign and a text, such as team=a.", ctx, parameter)
    labels = {name: text for name, _, text in pairs}
    if len(labels) < len(pairs):
        raise click.BadParameter("a name is given twice.", ctx, parameter)
    try:
        return checked_labels(labels)
    except InputValidationError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None
