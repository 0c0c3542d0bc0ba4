"""Something done just before a client sends a command to MongoDB."""

from __future__ import annotations

from collections.abc import Callable

from pymongo import monitoring


class Before(monitoring.CommandListener):
    """Does something just before a command is sent, each thing once and in their order."""

    def __init__(self, command: str, collection: str, *actions: Callable[[], object]) -> None:
        self.left = list(actions)
        self._command, self._collection = command, collection

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == self._command and event.command[self._command] == self._collection and self.left:
            self.left.pop(0)()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...
