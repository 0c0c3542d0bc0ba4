"""Something done just before a client sends a command to MongoDB, or just after the reply."""

from __future__ import annotations

from collections.abc import Callable

from pymongo import monitoring


class Before(monitoring.CommandListener):
    """Does something just before a command is sent, each thing once and in their order."""

    def __init__(self, command: str, collection: str, *actions: Callable[[], object]) -> None:
        self.left = list(actions)
        self._command, self._collection = command, collection

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.is_meant(event):
            self.left.pop(0)()

    def is_meant(self, event: monitoring.CommandStartedEvent) -> bool:
        """Whether something is to be done at this command."""
        collection = event.command.get("collection", event.command.get(event.command_name))  # getMore has both
        return bool(self.left) and (event.command_name, collection) == (self._command, self._collection)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class After(Before):
    """Does something just after the reply to a command has come, each thing once and in their order."""

    _awaited = -1

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.is_meant(event):
            self._awaited = event.request_id

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.request_id == self._awaited:
            self.left.pop(0)()
