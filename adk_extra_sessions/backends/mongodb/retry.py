"""Repeats operations whose outcome a broken connection has left unknown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pymongo.errors import AutoReconnect, OperationFailure

P = ParamSpec("P")
T = TypeVar("T")

IN_DOUBT = {6, 7, 89, 91, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436}
"""Codes after which the driver tries a retryable write again: the server, or a shard behind it, is leaving or gone.

https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
"""

TRIES = 3
"""An election may break two connections: the old primary's, and that of a new one that does not last."""


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
            except (AutoReconnect, OperationFailure) as error:
                known = isinstance(error, AutoReconnect) or error.code in IN_DOUBT
                if error.timeout or not known:
                    raise
        return operation(*arguments, **named)

    return tried
