"""The driver's errors: they keep their type, and tell which operation failed and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen


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
    def told(self, operation: str) -> Iterator[None]:
        """Has whatever the driver raises inside tell the operation and the server."""
        try:
            yield
        except self.kind as error:
            self.tell(error, operation)
            raise

    def tell(self, error: BaseException, operation: str) -> None:
        """Puts operation and server before the message of an error, if it is the driver's, once."""
        before = f"{operation} on {self.server}: "
        if isinstance(error, self.kind) and not str(error).startswith(before):
            error.args = (f"{before}{error}", *error.args[1:])
