"""One update that applies changes of shared state to its document; see `backends.shared_deltas`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from adk_extra_sessions.backends.mongodb import bulk
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.state_parsing import mapping, tickets_in
from adk_extra_sessions.backends.shared_deltas import merged
from adk_extra_sessions.records import SessionKey


@define
class Change:
    """What some deltas change in one state document: for each key the value of the newest.

    Attributes:
        selected: The document, as it was when tickets were taken: one that was erased since is not made again.
    """

    selected: Document
    values: Document = field(factory=dict, repr=False)
    tickets: dict[str, int] = field(factory=dict, repr=False)

    def add(self, part: Document) -> None:
        """Adds a delta's part for this document."""
        self.values, self.tickets = merged(self.values, self.tickets, [(part["ticket"], part["state"])])

    def update(self, held: Mapping[str, int]) -> bulk.Update:
        """Returns what applies the change, if no other one changes its keys meanwhile.

        Args:
            held: The tickets that the document's keys have, as far as known.
        """
        condition: Document = dict(self.selected)
        changed: Document = {}
        for name, ticket in self.tickets.items():
            if held.get(name, 0) < ticket:
                condition[f"tickets.{name}"] = {"$not": {"$gte": ticket}}
                changed.update({f"state.{name}": self.values[name], f"tickets.{name}": ticket})
            else:
                condition[f"tickets.{name}"] = {"$gte": ticket}
        return self._applied(condition, changed)

    def whole_update(self, document: Document) -> bulk.Update:
        """Returns what applies the change to a document as it was read, if nothing was applied to it since."""
        one_by_one = ((ticket, {name: self.values[name]}) for name, ticket in self.tickets.items())
        state, tickets = merged(mapping(document, "state", self.key), tickets_in(document, self.key), one_by_one)
        condition = {**self.selected, "applied": document.get("applied")}
        return self._applied(condition, {"state": state, "tickets": tickets})

    @property
    def id(self) -> str:
        """The document's `_id`."""
        return str(self.selected["_id"])

    @property
    def key(self) -> SessionKey:
        """Names the document in errors."""
        return SessionKey(self.selected["app_name"], self.selected["user_id"] or "", "")

    def _applied(self, condition: Document, changed: Document) -> bulk.Update:
        update = {"$max": {"ticket": max(self.tickets.values())}, "$inc": {"applied": 1}}
        return bulk.Update(condition, {**update, "$set": changed} if changed else update)
