"""The app's and the user's state: applying what session documents recorded for them.

A delta is recorded in the session's document by the very update that stores
its event, then applied here, then struck out. A record that a crash left
behind is applied by whoever meets it, but never over a newer value and never
twice.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import bson
from attrs import field, frozen
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, WriteError

from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import CorruptRecordError, EventTooLargeError
from adk_extra_sessions.records import SessionKey, SharedState, StateTexts
from adk_extra_sessions.stores.damaged import damage_named, left_out_if_damaged
from adk_extra_sessions.stores.mongodb import bulk, documents
from adk_extra_sessions.stores.mongodb.documents import Document
from adk_extra_sessions.stores.mongodb.values import state_of, stored_state

logger = logging.getLogger(__name__)

RESCUE_AFTER = 60.0
"""Seconds after which a record's writer is presumed dead: longer than any call may take."""

TRIES = 50
"""Tries of what fails only when another is quicker, or when something foreign is in the way."""

REMEMBERED = 100
"""Rescued deltas that a state document remembers."""


@frozen
class Recorded:
    """A delta recorded in a session's document."""

    key: SessionKey
    delta: Document = field(repr=False)


@frozen
class SharedStates:
    """The `state` collection, and the records in `sessions` that concern it."""

    states: Any
    sessions: Any

    def view(self, found: Sequence[Document], pending: Sequence[Document], key: SessionKey) -> SharedState:
        """Returns shared state as a reader of a session must see it, its pending deltas included."""
        by_id = {document["_id"]: document for document in found}
        merged = []
        for scope, selected in _scopes(key):
            document = by_id.get(selected["_id"], {})
            state, times = dict(document.get("state", {})), document.get("times", {})
            for delta in pending:
                newer = {name: value for name, value in delta[scope].items() if times.get(name, 0) <= delta["time"]}
                state.update(newer)
            merged.append(state_of(state))
        return SharedState(*merged)

    def views(self, app_name: str, users: Iterable[str], found: Sequence[Document]) -> dict[str, SharedState]:
        """Returns the state that each user's sessions share, where nothing is pending.

        Raises:
            CorruptRecordError: That of the app is damaged. Users whose own state is are left out.
        """
        by_id = {document["_id"]: document for document in found}
        with damage_named(SessionKey(app_name, "", "")):
            app = state_of(by_id.get(documents.app_id(app_name), {}).get("state", {}))
        shared = {}
        for user in users:
            with left_out_if_damaged(SessionKey(app_name, user, "")):
                state = by_id.get(documents.user_id(app_name, user), {}).get("state", {})
                shared[user] = SharedState(app, state_of(state))
        return shared

    def apply(self, recorded: Sequence[Recorded], term: object = None) -> bool:
        """Applies deltas that were just recorded, and strikes them out.

        Args:
            recorded: The deltas.
            term: The primary's term in which they were recorded, if known.

        Returns:
            Whether all records, and with them their events, are stored for
            good: shared state has reached the majority, and they came before
            it in the log of the same primary, or were found there after it.
            A record not found was rescued by another, or was lost, with its
            event, in a change of primary.
        """
        if not recorded:
            return True
        updates = [update for one in recorded for update in self._updates(one)]
        applied = None
        try:
            applied = bulk.send(self.states, updates, ordered=True).term
        except (WriteError, DocumentTooLarge):
            for update in updates:  # a document made at the same moment, or a delta already rescued
                self._apply_one(update)
        if applied is not None and applied == term:
            self._strike_out(recorded, noticed=False)
            return True
        return self._strike_out(recorded) == len(recorded)

    def write(self, key: SessionKey, state: StateTexts) -> None:
        """Sets keys of the app's and the user's state that no session's event changes."""
        self.check_room(key, state)
        delta = documents.pending_delta(state, uuid.uuid4().hex, time.time())
        for update in self._updates(Recorded(key, delta)) if delta else ():
            self._apply_one(update)

    def check_room(self, key: SessionKey, delta: StateTexts) -> None:
        """Refuses a large delta that would take a state document over its limit.

        Raises:
            EventTooLargeError: There is no room for it.
        """
        for texts, (scope, selected) in zip((delta.app, delta.user), _scopes(key), strict=True):
            if documents.state_bytes(texts) >= documents.CHECKED_BYTES:
                document = self.states.find_one(selected) or {}
                size = len(bson.encode(document)) + len(bson.encode(stored_state(texts)))
                if size > documents.DOCUMENT_BYTES:
                    raise EventTooLargeError(f"The {scope}'s state with this delta", size, documents.DOCUMENT_BYTES)

    def rescue(self, key: SessionKey, pending: Sequence[Document], after: float | None = None) -> None:
        """Applies records of an earlier attempt, never over a newer value.

        Args:
            key: The session that holds them.
            pending: The records.
            after: Seconds after which a record's writer is presumed dead; None for `RESCUE_AFTER`.
        """
        patience = RESCUE_AFTER if after is None else after
        dead = [Recorded(key, delta) for delta in pending if time.time() - delta["time"] >= patience]
        for recorded in dead:
            for scope, selected in _scopes(key):
                if recorded.delta[scope]:
                    self._rescue_into(selected, recorded.delta, recorded.delta[scope])
        if dead:
            self._strike_out(dead)
            logger.info("%s: applied shared state that an interrupted append had left.", describe(key))

    def read(self, key: SessionKey) -> list[Document]:
        """Reads the documents that a session shares."""
        return list(self.states.find({"$or": [selected for _, selected in _scopes(key)]}))

    def _updates(self, recorded: Recorded) -> Iterator[bulk.Update]:
        delta = recorded.delta
        for scope, selected in _scopes(recorded.key):
            if delta[scope]:
                yield bulk.Update(
                    {**selected, "rescued": {"$ne": delta["id"]}},
                    {"$set": documents.delta_paths(delta[scope], delta["time"])},
                    upsert=True,
                )

    def _apply_one(self, update: bulk.Update) -> None:
        for _ in range(TRIES):
            try:
                bulk.send(self.states, [update])
                return
            except DuplicateKeyError:
                rescued = update.filter["rescued"]["$ne"]
                if self.states.find_one({**update.filter, "rescued": rescued}, {"_id": 1}):
                    return
        raise _in_the_way(update.filter)

    def _rescue_into(self, selected: Document, delta: Document, values: Document) -> None:
        for _ in range(TRIES):
            document = self.states.find_one(selected, {"times": 1, "rescued": 1}) or {}
            if delta["id"] in document.get("rescued", []):
                return
            times = document.get("times", {})
            newer = {name: value for name, value in values.items() if times.get(name, 0) <= delta["time"]}
            unchanged = {f"times.{name}": times.get(name, {"$exists": False}) for name in newer}
            update: Document = {"$push": {"rescued": {"$each": [delta["id"]], "$slice": -REMEMBERED}}}
            if newer:
                update["$set"] = documents.delta_paths(newer, delta["time"])
            condition = {**selected, "rescued": {"$ne": delta["id"]}, **unchanged}
            try:
                if bulk.send(self.states, [bulk.Update(condition, update, upsert=not document)]).matched:
                    return
            except DuplicateKeyError:
                continue
        raise _in_the_way(selected)

    def _strike_out(self, recorded: Sequence[Recorded], *, noticed: bool = True) -> int:
        """Strikes records out; returns how many were there, or 0 where nobody wants to know."""
        updates = [
            bulk.Update(
                {**documents.session_filter(one.key), "pending.id": one.delta["id"]},
                {"$pull": {"pending": {"id": one.delta["id"]}}},
            )
            for one in recorded
        ]
        # Should it be lost, the record is met again, and found applied.
        if noticed:
            return bulk.send(self.sessions, updates, awaited=False).matched
        bulk.send_and_forget(self.sessions, updates)
        return 0


def _scopes(key: SessionKey) -> Sequence[tuple[str, Document]]:
    return (("app", documents.app_filter(key.app_name)), ("user", documents.user_filter(key.app_name, key.user_id)))


def _in_the_way(selected: Document) -> CorruptRecordError:
    return CorruptRecordError(f"State {selected['_id']!r} cannot be written: a foreign document is in its place.")
