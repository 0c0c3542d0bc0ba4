"""The app's and the user's state: reading it, and applying what session documents hold for it.

`backends.shared_deltas` has the algorithm, `tickets` its first step.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeAlias

from attrs import field, frozen
from pymongo.errors import DocumentTooLarge, WriteError

from adk_extra_sessions.backends.damaged import leave_out
from adk_extra_sessions.backends.mongodb import bulk, layout, limits
from adk_extra_sessions.backends.mongodb.layout import Document
from adk_extra_sessions.backends.mongodb.state_change import Change
from adk_extra_sessions.backends.mongodb.state_parsing import mapping, read_state, state_in, tickets_in
from adk_extra_sessions.backends.mongodb.tickets import Tickets, in_the_way
from adk_extra_sessions.backends.shared_deltas import merged
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.state import SharedScope, SharedState, StateTexts

logger = logging.getLogger(__name__)

Delta: TypeAlias = tuple[int, Document]
"""A pending delta to one state document: its ticket, and its values as they are stored."""

NO_SUB_DOCUMENT = 28
"""The code of the server's error for a field of what is no sub-document."""

TRIES = 50
"""How often to try what fails only if another writer is faster, or if something foreign is stored there."""


@frozen
class Pending:
    """A delta in a session's document."""

    key: SessionKey
    delta: Document = field(repr=False)


@frozen
class SharedStates:
    """The `state` collection, and the deltas in `sessions` that concern it."""

    states: Any
    sessions: Any

    @property
    def tickets(self) -> Tickets:
        """The counters beside the state. They do not wait for the majority, since what is stored with a ticket does."""
        return Tickets(bulk.without_majority(self.states), self.sessions)

    def view(self, found: Sequence[Document], pending: Sequence[Document], key: SessionKey) -> SharedState:
        """Returns shared state as a reader of a session must see it, its pending deltas included."""
        by_id = {document["_id"]: document for document in found}
        states: dict[SharedScope, dict[str, Any]] = {}
        for scope, selected in layout.shared_filters(key).items():
            document = by_id.get(selected["_id"])
            deltas = [(one[scope]["ticket"], one[scope]["state"]) for one in pending if scope in one]
            states[scope] = state_with(document, deltas, key)
        return SharedState(**states)

    def views(self, app_name: str, users: Iterable[str], found: Sequence[Document]) -> dict[str, SharedState]:
        """Returns the state that each user's sessions share, where nothing is pending.

        Raises:
            CorruptRecordError: That of the app is damaged. Users whose own state is are left out.
        """
        by_id = {document["_id"]: document for document in found}
        app = state_in(by_id.get(layout.app_id(app_name)), SessionKey(app_name, "", ""))
        shared = {}
        for user in users:
            key = SessionKey(app_name, user, "")
            try:
                state = state_in(by_id.get(layout.user_id(app_name, user)), key)
                shared[user] = SharedState(user=state, app=app)
            except CorruptRecordError as error:
                leave_out(key, error)
        return shared

    def read(self, key: SessionKey) -> list[Document]:
        """Reads the documents that a session shares."""
        return list(self.states.find({"$or": [*layout.shared_filters(key).values()]}))

    def write(self, key: SessionKey, state: StateTexts) -> None:
        """Sets keys of the app's and the user's state that no session's event changes."""
        self._apply(_changes(Pending(key, delta) for delta in self.tickets.reserve(key, {"": state})))

    def apply(self, pending: Sequence[Pending]) -> None:
        """Applies deltas whose sessions have reached the majority, then removes them from there.

        Returns when shared state has reached the majority too.
        """
        if pending:
            self._apply(_changes(pending))
            bulk.send_and_forget(self.sessions, _removals(pending))

    def is_applied(self, pending: Sequence[Pending]) -> bool:
        """Whether a value of one of these deltas is in shared state for good, with its ticket, so that it was stored.

        Where later deltas have replaced all of its values, that cannot be known any more.
        """
        for one in pending:
            for scope, selected in layout.shared_filters(one.key).items():
                part = one.delta.get(scope, {"state": {}})
                proof = [
                    {f"tickets.{name}": part["ticket"], "birth": part["birth"], f"state.{name}": value}
                    for name, value in part["state"].items()
                ]
                if proof and bulk.confirm(self.states, {**selected, "$or": proof}):
                    return True
        return False

    def apply_left(self, key: SessionKey, left: Sequence[Document], own: Collection[str] = ()) -> list[Document]:
        """Applies changes that interrupted writers have left in a session, then removes them.

        Args:
            key: The session.
            left: Its pending deltas.
            own: Ids of those whose failure is raised.

        Returns:
            Those that could not be applied, since a state document is full or damaged.
        """
        failed = []
        for delta in left:
            one = Pending(key, delta)
            (removal,) = _removals([one])
            if not bulk.confirm(self.sessions, removal.filter):
                continue  # gone, or taken back with its event by a change of primary
            try:
                self._apply(_changes([one]))
            except (WriteError, DocumentTooLarge, CorruptRecordError) as error:
                if delta["id"] in own:
                    raise
                logger.warning("%s holds state that could not be applied (%s).", key, type(error).__name__)
                failed.append(delta)
                continue
            bulk.send(self.sessions, [removal])
            logger.info("%s: applied shared state that another append had left.", key)
        return failed

    def _apply(self, changes: Sequence[Change]) -> None:
        few = [change for change in changes if len(change.tickets) <= limits.PATHS]
        if few:
            self._apply_few(few)
        for change in changes:
            if len(change.tickets) > limits.PATHS:
                self._apply_many(change)

    def _apply_few(self, changes: Sequence[Change]) -> None:
        """Applies changes of few keys, in one message where none has a larger ticket already."""
        found: dict[str, Document] = {}
        for _ in range(TRIES):
            updates = [change.update(tickets_in(found.get(change.id), change.key)) for change in changes]
            if self._sent(changes, updates):
                return
            names = {f"tickets.{name}": 1 for change in changes for name in change.tickets}
            there = self.states.find({"$or": [change.selected for change in changes]}, names)
            found = {one["_id"]: one for one in there}
            changes = [change for change in changes if change.id in found]
        raise in_the_way(changes[0].selected)

    def _sent(self, changes: Sequence[Change], updates: Sequence[bulk.Update]) -> bool:
        """Sends the updates of changes; returns whether all matched.

        Raises:
            CorruptRecordError: A state document cannot be changed.
        """
        try:
            return bulk.send(self.states, updates) == len(updates)
        except WriteError as error:
            if error.code != NO_SUB_DOCUMENT:
                raise
        # The server's own message shows what is stored there.
        for change in changes:
            document = self.states.find_one(change.selected)
            mapping(document, "state", change.key)
            tickets_in(document, change.key)
        return False

    def _apply_many(self, change: Change) -> None:
        """Applies a change of many keys: the server's time for one by one grows with their square."""
        for _ in range(TRIES):
            document = self.states.find_one(change.selected)
            if document is None or bulk.send(self.states, [change.whole_update(document)]):
                return
        raise in_the_way(change.selected)


def state_with(document: Document | None, deltas: Sequence[Delta], key: SessionKey) -> dict[str, Any]:
    """Returns the state in a document of the `state` collection, with pending deltas applied to it.

    Args:
        document: The document, if there is one.
        deltas: Changes of it that sessions still hold.
        key: Names it in errors.

    Raises:
        CorruptRecordError: It cannot be read.
    """
    tickets = tickets_in(document, key) if deltas else {}
    state, _ = merged(mapping(document, "state", key), tickets, deltas)
    return read_state(state, key)


def _changes(pending: Iterable[Pending]) -> list[Change]:
    by_document: dict[tuple[str, str], Change] = {}
    for one in pending:
        for scope, selected in layout.shared_filters(one.key).items():
            if scope in one.delta:
                made_for = {**selected, "birth": one.delta[scope]["birth"]}
                by_document.setdefault((selected["_id"], made_for["birth"]), Change(made_for)).add(one.delta[scope])
    return list(by_document.values())


def _removals(pending: Sequence[Pending]) -> list[bulk.Update]:
    return [
        bulk.Update(
            {**layout.session_filter(one.key), "pending.id": one.delta["id"]},
            {"$pull": {"pending": {"id": one.delta["id"]}}},
        )
        for one in pending
    ]
