"""Taking tickets for changes of shared state, and room for them in its document; see `backends.shared_deltas`.

A state document counts its tickets and, as an upper bound, the bytes that it
will have when all deltas with a ticket are applied. Only where the bound is
over the limit, the document is read and measured.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import bson
from attrs import define, field, frozen
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from adk_extra_sessions.backends.mongodb import bulk, documents, layout, limits
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError
from adk_extra_sessions.records import AppendRequest, EventRecord, SessionKey
from adk_extra_sessions.state import PREFIXES, SharedScope, StateTexts

TRIES = 20
"""Tries of what fails only when another is quicker, or when something foreign is in the way."""


RESERVED = {"ticket": 1, "bytes": 1, "birth": 1}
"""A projection: what taking tickets needs of a state document."""


@define(eq=False)
class Reservation:
    """Tickets and room in one state document.

    Attributes:
        scope: Whose state it has.
        parts: The parts of deltas that change this document.
        size: Bytes that they may add to it.
    """

    scope: SharedScope
    selected: Document
    parts: list[Document] = field(factory=list, repr=False)
    size: int = 0

    def add(self, part: Document) -> None:
        """Adds a part of a delta."""
        self.parts.append(part)
        self.size += _bytes(part["state"])

    @property
    def update(self) -> Document:
        """What takes the tickets and the room."""
        counts = {"ticket": len(self.parts), "bytes": self.size}
        return {"$inc": counts, "$setOnInsert": {"birth": uuid.uuid4().hex}}

    def number(self, found: Document) -> None:
        """Gives each part its ticket, the last of them that of the document, and the document's birth."""
        for ticket, part in enumerate(self.parts, found["ticket"] - len(self.parts) + 1):
            part.update(ticket=ticket, birth=found["birth"])


@frozen
class Tickets:
    """The counters in the `state` collection."""

    states: Any
    sessions: Any

    def reserve(self, key: SessionKey, deltas: Mapping[str, StateTexts]) -> list[Document]:
        """Takes a ticket for each delta, and room for it.

        Args:
            key: The session that the deltas are stored with.
            deltas: Deltas by id, in their order.

        Returns:
            Those that change shared state, as the session's document holds them.

        Raises:
            EventTooLargeError: A state document has no room for them.
        """
        pending = _pending(deltas)
        for reservation in _reservations((key, one) for one in pending):
            self._take(reservation)
        return pending

    def reserve_many(self, requests: Sequence[AppendRequest]) -> list[list[Document] | None]:
        """Takes tickets for the deltas of many requests; None for a request that something stands in the way of."""
        pending = [_pending(states_of(request.events)) for request in requests]
        owned = [(request.key, one) for request, deltas in zip(requests, pending, strict=True) for one in deltas]
        reservations = _reservations(owned)
        for reservation in self._take_together(reservations) if len(reservations) > 1 else reservations:
            try:
                self._take(reservation)
            except (OperationFailure, CorruptRecordError, EventTooLargeError) as error:
                if getattr(error, "timeout", False):
                    raise
        return [self._usable(request.key, deltas) for request, deltas in zip(requests, pending, strict=True)]

    def give_back(self, key: SessionKey, deltas: Sequence[Document]) -> None:
        """Gives back the tickets of deltas none of which was stored; some may have none.

        Whoever gives the last one back removes a document that was made for
        them alone: nothing else would, once its user is erased. Where there
        are sessions, one of them may be changing the state right now.
        """
        for reservation in _reservations((key, one) for one in deltas):
            numbered = [part for part in reservation.parts if "ticket" in part]
            if not numbered:
                continue
            made = {**reservation.selected, "birth": numbered[0]["birth"], "state": {"$exists": False}}
            returned = {"$inc": {"returned": len(numbered)}}
            counts = {"ticket": 1, "returned": 1}
            found = self.states.find_one_and_update(made, returned, counts, return_document=ReturnDocument.AFTER)
            # More can be given back than were taken here: a ticket's own document may have been erased and made
            # again between the two messages of `_take_together`.
            if found and found["ticket"] <= found["returned"] and not self._has_sessions(reservation.selected["_id"]):
                self.states.delete_one({**made, **{name: found[name] for name in counts}})

    def _has_sessions(self, state_id: str) -> bool:
        return self.sessions.find_one({"_id": layout.below(state_id)}, {"_id": 1}) is not None

    def _usable(self, key: SessionKey, deltas: list[Document]) -> list[Document] | None:
        """Returns deltas that have all tickets that they need; otherwise gives back what they have."""
        if all(map(_is_numbered, deltas)):
            return deltas
        self.give_back(key, deltas)
        return None

    def _take_together(self, reservations: Sequence[Reservation]) -> list[Reservation]:
        """Takes tickets in two messages; returns those that must be taken alone."""
        updates = [bulk.Update(one.selected, one.update, upsert=True) for one in reservations]
        # Refused because of a document made at the same moment, or a foreign one.
        refused = [reservations[at] for at in sorted(bulk.refused(self.states, updates))]
        selected = {
            name: {"$in": [one.selected[name] for one in reservations]} for name in ("_id", "app_name", "user_id")
        }
        found = {one["_id"]: one for one in self.states.find(selected, RESERVED)}
        for one in reservations:
            # If it is not found, it was erased since: the checked append finds its session gone.
            if one.selected["_id"] in found and one not in refused:
                with suppress(EventTooLargeError):
                    self._accept(one, found[one.selected["_id"]])
        return refused

    def _take(self, reservation: Reservation) -> None:
        for _ in range(TRIES):
            with suppress(DuplicateKeyError):  # made at the same moment, or foreign
                found = self.states.find_one_and_update(
                    reservation.selected,
                    reservation.update,
                    RESERVED,
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
                self._accept(reservation, found)
                return
        raise in_the_way(reservation.selected)

    def _accept(self, reservation: Reservation, found: Document) -> None:
        """Numbers a reservation's deltas if the document has room for them."""
        if found["bytes"] > limits.STATE_BYTES:
            self._measure(reservation)
        reservation.number(found)

    def _measure(self, reservation: Reservation) -> None:
        """Replaces a document's bound by what it really holds, or gives back what it has no room for."""
        document = self.states.find_one(reservation.selected) or {}
        size, limit = _size_with(document, reservation), limits.STATE_BYTES
        if size > limit:
            back = bulk.Update(reservation.selected, {"$inc": {"bytes": -reservation.size}})
            bulk.send(self.states, [back])
            raise EventTooLargeError(f"The {reservation.scope}'s state", size, limit, len(bson.encode(document)))
        unchanged = {**reservation.selected, "bytes": document.get("bytes")}
        bulk.send(self.states, [bulk.Update(unchanged, {"$set": {"bytes": size}})])


def in_the_way(selected: Document) -> CorruptRecordError:
    """The error for a foreign document in the place of some state."""
    return CorruptRecordError(f"State {selected['_id']!r} cannot be written: another program has a document there.")


def states_of(events: Sequence[EventRecord]) -> dict[str, StateTexts]:
    """Returns the state that events change, by the id of its delta."""
    return {event.digest.hex(): event.state for event in events}


def _pending(deltas: Mapping[str, StateTexts]) -> list[Document]:
    return [one for name, delta in deltas.items() if (one := documents.pending_delta(delta, name))]


def _is_numbered(delta: Document) -> bool:
    return all("ticket" in delta[scope] for scope in PREFIXES if scope in delta)


def _reservations(deltas: Iterable[tuple[SessionKey, Document]]) -> list[Reservation]:
    by_document: dict[str, Reservation] = {}
    for key, delta in deltas:
        for scope, selected in layout.shared_filters(key).items():
            if scope in delta:
                by_document.setdefault(selected["_id"], Reservation(scope, selected)).add(delta[scope])
    return list(by_document.values())


def _bytes(values: Document) -> int:
    """Bytes that values and their tickets take in a state document."""
    return len(bson.encode(values)) + sum(len(name.encode()) + 10 for name in values)


def _size_with(document: Document, reservation: Reservation) -> int:
    """Bytes of a state document after what is to be changed in it."""
    state = document.get("state")
    changed = {name: value for part in reservation.parts for name, value in part["state"].items()}
    replaced = {name: state[name] for name in changed if isinstance(state, dict) and name in state}
    return len(bson.encode(document)) + _bytes(changed) - _bytes(replaced)
