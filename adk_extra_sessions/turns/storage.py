"""Where a backend keeps turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import field, frozen
from typing_extensions import override

from adk_extra_sessions.records import SessionKey


class TurnStorage(ABC):
    """One text per session, changed by compare-and-swap."""

    driver_error: type[Exception]
    """The base class of the driver's errors."""

    @abstractmethod
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        """Returns the text, None if there is none, and the server's time in seconds."""

    @abstractmethod
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        """Replaces the text `old` by `new` if it is still `old`; returns whether it was. None is no text.

        A text that does not change for several leases may be removed.
        """


@frozen
class NamedTurnStorage(TurnStorage):
    """The storage of a store's turns, which cannot be used after the store was closed.

    Attributes:
        operation: Makes the context manager of an operation, by its name.
    """

    storage: TurnStorage
    operation: Callable[[str], AbstractContextManager[None]] = field(eq=False)

    @property
    def driver_error(self) -> type[Exception]:  # type: ignore[override]
        """The base class of the driver's errors."""
        return self.storage.driver_error

    @override
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        with self.operation("turn"):
            return self.storage.read(key)

    @override
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        with self.operation("turn"):
            return self.storage.swap(key, old, new)
