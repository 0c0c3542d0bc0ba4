"""Trying again what a broken connection left in doubt."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pymongo.errors import AutoReconnect

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 3
"""An election may break two connections: the old primary's, and that of a new one that does not last."""


def tried_again(operation: Callable[P, T]) -> Callable[P, T]:
    """Makes an operation that recognises its own repetition outlive broken connections.

    The driver does so for single writes only, and only on replica sets and
    sharded clusters, at the price of a record of each.

    A wait that has timed out is not begun again: it would take twice as long as promised.
    """

    @wraps(operation)
    def tried(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return operation(*arguments, **named)
            except AutoReconnect as error:
                if error.timeout:
                    raise
        return operation(*arguments, **named)

    return tried
