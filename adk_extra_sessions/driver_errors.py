"""The driver's errors: they keep their type, and name the operation that failed and its server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from adk_extra_sessions.usage import Usage


@frozen
class DriverErrors:
    """The errors of one store's driver.

    Attributes:
        kind: The class of all of them.
        server: What they call the server; shows no password.
    """

    kind: type[Exception]
    server: str

    @contextmanager
    def named(self, operation: str) -> Iterator[None]:
        """Adds the operation and the server to the errors that the driver raises inside."""
        try:
            yield
        except self.kind as error:
            self.name(error, operation)
            raise

    def name(self, error: BaseException, operation: str) -> None:
        """Adds the operation and the server to the message of an error, once, if it is one of the driver's."""
        before = f"{operation} on {self.server}: "
        if isinstance(error, self.kind) and not str(error).startswith(before):
            error.args = (f"{before}{error}", *error.args[1:])


@frozen
class Operations:
    """The operations of a store, apart from appends.

    Attributes:
        usage: Whether the store is closed, and what is under way on it.
    """

    errors: DriverErrors
    usage: Usage

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Refuses an operation on a closed store, and adds its name to the driver's errors."""
        with self.usage.operation(), self.errors.named(name):
            yield
