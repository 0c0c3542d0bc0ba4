"""Repeats operations whose outcome a broken connection has left unknown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

P = ParamSpec("P")
T = TypeVar("T")

IN_DOUBT = {6, 7, 89, 91, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436}
"""Codes after which the driver tries a retryable write again: the server, or a shard behind it, is leaving or gone.

https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
"""

TRIES = 3
"""An election may break two connections: the old primary's, and that of a new one that does not last."""


def is_broken(error: PyMongoError) -> bool:
    """Whether a connection broke, or its server is leaving, so that it may help to try again at once."""
    known = isinstance(error, AutoReconnect) or (isinstance(error, OperationFailure) and error.code in IN_DOUBT)
    return known and not error.timeout


def retried(operation: Callable[P, T]) -> Callable[P, T]:
    """Repeats an operation after a broken connection; it must recognise its own repetition.

    The driver does so for single writes only, and only on replica sets and
    sharded clusters, at the price of a record of each.

    After a timeout it is not repeated: it would take twice as long as promised.
    """

    @wraps(operation)
    def tried(*arguments: P.args, **named: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return operation(*arguments, **named)
            except PyMongoError as error:
                if not is_broken(error):
                    raise
        return operation(*arguments, **named)

    return tried
