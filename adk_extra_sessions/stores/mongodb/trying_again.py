"""Trying again what a broken connection left in doubt."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pymongo.errors import AutoReconnect

P = ParamSpec("P")
T = TypeVar("T")


def tried_again(operation: Callable[P, T]) -> Callable[P, T]:
    """Makes an operation that recognises its own repetition outlive one broken connection.

    The driver tries a single write again where the server can recognise it: on
    replica sets and sharded clusters, unless `retryWrites` is off. A standalone
    server, and some that are compatible with MongoDB, cannot.

    A wait that has timed out is not begun again: it would take twice as long as promised.
    """

    @wraps(operation)
    def tried(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return operation(*arguments, **named)
        except AutoReconnect as error:
            if error.timeout:
                raise
            return operation(*arguments, **named)

    return tried
