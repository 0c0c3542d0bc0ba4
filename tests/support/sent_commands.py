"""The commands that a client sends to MongoDB, apart from those by which it looks after its connections."""

from __future__ import annotations

from pymongo import monitoring


class SentCommands(monitoring.CommandListener):
    """Notes the names of commands.

    Attributes:
        names: The names, in their order.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...
