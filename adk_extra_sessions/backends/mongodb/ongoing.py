"""A request while it is appended, in either of the two ways."""

from __future__ import annotations

from attrs import define, field

from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.shared_state import Pending
from adk_extra_sessions.backends.mongodb.tickets import Tickets, states_of
from adk_extra_sessions.records import AppendRequest


@define(eq=False)
class OngoingAppend:
    """A request, and its deltas to shared state with the tickets that they keep however often it is tried.

    Attributes:
        deltas: None until tickets were taken.
    """

    request: AppendRequest
    deltas: list[Document] | None = field(default=None, repr=False)

    @property
    def is_small(self) -> bool:
        """Whether it may be appended without reading the session first: small events, all different."""
        events = self.request.events
        for event in events:
            if len(event.body) > limits.BODY_BYTES or len(event.state.session) > limits.PATHS:
                return False
        return len(events) == 1 or len({event.digest for event in events}) == len(events)

    @property
    def shares(self) -> bool:
        """Whether it changes state that sessions share."""
        return any(any(event.state.shared.values()) for event in self.request.events)

    def reserve(self, tickets: Tickets) -> list[Document]:
        """Takes tickets for its deltas unless it has some; returns the deltas."""
        if self.deltas is None:
            self.deltas = tickets.reserve(self.request.key, states_of(self.request.events))
        return self.deltas

    @property
    def pending(self) -> list[Pending]:
        """Its deltas as its session will hold them."""
        return [Pending(self.request.key, delta) for delta in self.deltas or ()]

    def revisions(self, before: int | None = None) -> list[int]:
        """Returns the revision after each event; `before` is that before them, if it was not expected."""
        start = self.request.expected if before is None else before
        assert start is not None
        return [start + at for at in range(1, len(self.request.events) + 1)]
