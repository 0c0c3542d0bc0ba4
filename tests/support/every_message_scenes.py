"""The operations that test_every_message.py breaks off or interleaves, and what they work on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import define, field, frozen
from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisConnectionError
from support.every_message_checks import check_part, demand
from support.every_message_ledger import Ledger
from support.message_proxy import Fault, MessageProxy

from adk_extra_sessions import SessionStore
from adk_extra_sessions.errors import AlreadyExistsError
from adk_extra_sessions.testing.contract.samples import an_event, texts

SHARED = {"user:x": "operation", "app:x": "operation", "user:new": 1, "app:new": 1}
"""What most operations set of the state that sessions share."""

LARGE = 300_000
"""Bytes of an event that MongoDB keeps in a document of its own."""

FULL = 100
"""Events after which the next one moves some out of MongoDB's tail."""


@define
class Scene:
    """One user's sessions, and who writes to them.

    Attributes:
        number: Makes its names.
        far: The store whose requests are interfered with.
        near: One that nothing happens to, on the same storage.
        other: The same, with the option `ttl`.
        proxy: Between `far` and the server.
        live: The session that the operation is about, as its writer holds it.
        before: The live session as it was before the operation.
        event: What the operation appends.
        batch: More live sessions with an event each.
    """

    number: str
    far: SessionStore
    near: SessionStore
    other: SessionStore
    proxy: MessageProxy
    ledger: Ledger = field(factory=Ledger)
    live: Session | None = None
    before: Session | None = None
    event: Event | None = None
    batch: list[tuple[Session, Event]] = field(factory=list)
    time: float = 1000.0

    def names(self, session_id: str = "session") -> dict[str, str]:
        return {"app_name": f"app{self.number}", "user_id": f"user{self.number}", "session_id": f"{session_id}-id"}

    def make_event(self, text: str, delta: dict[str, Any] | None = None, size: int = 0) -> Event:
        self.time += 1
        return an_event(f"{self.number}.{text}." + "x" * size, at=self.time, delta=delta)

    def create(self, session_id: str = "session", events: int = 1) -> Session:
        """Creates a session with events, through the store that nothing happens to."""
        state = {"key": "created", "created": 1}
        live = self.ledger.create(self.near, state, **self.names(session_id))
        name = f"{session_id}-{self.ledger.creations[live.id]}"
        made = [self.make_event(f"{name}-{at}", {"key": at}) for at in range(events)]
        if made:
            self.append(self.near, live, *made)
        return live

    def append(self, store: SessionStore, live: Session, *events: Event) -> None:
        for outcome in self.ledger.append(store, live, *events):
            if isinstance(outcome, BaseException):
                raise outcome

    def prepare(self, delta: dict[str, Any] | None = None, *, events: int = 1, size: int = 0) -> None:
        """Makes the session, and the event that the operation appends to it."""
        self.live = self.create(events=events)
        self.event = self.make_event("operation", {"key": "operation", **(delta or {})}, size)
        self.before = self.live.model_copy(deep=True)

    def run_append(self) -> None:
        assert self.live and self.event
        self.append(self.far, self.live, self.event)


@frozen
class Operation:
    """Something a store does.

    Attributes:
        prepare: Makes what it works on.
        run: Does it, through `scene.far`.
        options: Those of its store.
        mongodb: Whether it is for MongoDB only.
        reads: Whether it may write nothing.
        alone: Whether nobody else may write to its session meanwhile.
    """

    name: str
    prepare: Callable[[Scene], None]
    run: Callable[[Scene], None]
    options: dict[str, Any] = field(factory=dict)
    mongodb: bool = False
    reads: bool = False
    alone: bool = False


def _create(scene: Scene) -> None:
    state = {"key": "created", "temp:t": 1, **SHARED}
    with suppress(AlreadyExistsError):
        scene.live = scene.ledger.create(scene.far, state, **scene.names())
        demand(state.items() <= {**scene.live.state, **SHARED}.items(), "the new session has the state given")


def _prepare_shared(scene: Scene) -> None:
    """Somebody has set the shared state already."""
    first = scene.create("first", events=0)
    scene.append(scene.near, first, scene.make_event("first", {"user:x": "first", "app:x": "first"}))


def _prepare_batch(scene: Scene) -> None:
    _prepare_shared(scene)
    kinds: list[tuple[str, int, dict[str, Any], int]] = [
        ("plain", 1, {}, 0),
        ("session", 1, {"user:a": "shares", "app:b": "shares"}, 0),
        ("full", FULL, {}, 0),
        ("large", 1, {"user:c": 1}, LARGE),
        ("stale", 1, {"user:d": 1}, 0),
        ("gone", 1, {"user:e": 1}, 0),
    ]
    for name, events, delta, size in kinds:
        live = scene.create(name, events)
        scene.batch.append((live, scene.make_event(f"batch-{name}", {"key": name, **delta}, size)))
    stale = scene.near.get_session(**scene.names("stale"))
    assert stale
    scene.append(scene.near, scene.ledger.hold(stale), scene.make_event("newer"))
    scene.ledger.delete(scene.near, **scene.names("gone"))


def _run_batch(scene: Scene) -> None:
    writes = [scene.ledger.started(live, event) for live, event in scene.batch]
    outcomes: list[Any] = [KeyboardInterrupt()] * len(writes)
    try:
        outcomes = scene.far.append_many(scene.batch)
    finally:
        for write, outcome in zip(writes, outcomes, strict=True):
            scene.ledger.ended(write, outcome)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, ValueError):
            raise outcome


def _get(**window: Any) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        read = scene.far.get_session(**scene.names(), config=GetSessionConfig(**window))
        if read is not None:
            check_part(scene.ledger, read, whole=not window)

    return run


def _list(scene: Scene) -> None:
    found = [one.id for one in scene.far.list_sessions(app_name=f"app{scene.number}").sessions]
    demand(len(set(found)) == len(found), "no session is listed twice")
    demand(scene.names("first")["session_id"] in found, "a session that nobody deletes is listed")


def _user_state(scene: Scene) -> None:
    state = scene.far.get_user_state(app_name=f"app{scene.number}", user_id=f"user{scene.number}")
    demand(state.get("x") in ("first", "other"), "the user's state is read")


def _prepare_history(scene: Scene) -> None:
    _prepare_shared(scene)
    scene.prepare(events=FULL)


def _prepare_restore(scene: Scene) -> None:
    _prepare_shared(scene)
    copied = Session(id=scene.names()["session_id"], app_name=f"app{scene.number}", user_id=f"user{scene.number}")
    copied.events = [scene.make_event(f"copied-{at}") for at in range(120)]
    copied.state, copied.last_update_time = {"key": 119}, scene.time
    scene.before = copied


def _restore(scene: Scene) -> None:
    copied = scene.before
    assert copied
    scene.ledger.restore(scene.far, copied)
    read = scene.near.get_session(**scene.names())
    demand(read is not None and texts(read) == texts(copied), "what was restored is there")
    demand(read is not None and read.last_update_time == copied.last_update_time, "with its time")


def _prepare_pending(scene: Scene) -> None:
    """A writer dies as soon as his event is stored: on MongoDB and on a Redis Cluster, before shared state is."""
    _prepare_shared(scene)
    scene.prepare(SHARED)
    for at in itertools.count(1):  # the first messages may not store it yet
        scene.proxy.expect(Fault("dead", answered=False, lasting=True), at)
        with suppress(AutoReconnect, RedisConnectionError):
            scene.run_append()
        scene.proxy.heal()
        read = scene.near.get_session(**scene.names())
        if read and len(read.events) == 2:
            return


def _delete_pending(scene: Scene) -> None:
    _delete(scene)
    for write in scene.ledger.writes:  # the session had it, and leaves it to the others
        write.acknowledged = write.acknowledged is not False


def _delete(scene: Scene) -> None:
    scene.ledger.delete(scene.far, **scene.names())


OPERATIONS = [
    Operation("create", _prepare_shared, _create),
    Operation("append", lambda scene: scene.prepare(), Scene.run_append),
    Operation("append shared", lambda scene: (_prepare_shared(scene), scene.prepare(SHARED))[1], Scene.run_append),
    Operation("append large", lambda scene: scene.prepare({"user:x": 1}, size=LARGE), Scene.run_append),
    Operation("append full", lambda scene: scene.prepare(events=FULL), Scene.run_append, mongodb=True),
    Operation("append ttl", lambda scene: scene.prepare(SHARED), Scene.run_append, {"ttl": "1h"}),
    Operation("append any", lambda scene: scene.prepare(SHARED), Scene.run_append, {"on_stale": "append"}),
    Operation(
        "append any large", lambda scene: scene.prepare(SHARED, size=LARGE), Scene.run_append, {"on_stale": "append"}
    ),
    Operation("append batch", _prepare_batch, _run_batch),
    Operation("delete", _prepare_history, _delete),
    Operation("delete pending", _prepare_pending, _delete_pending),
    Operation("get", _prepare_history, _get(), reads=True),
    Operation("get recent", _prepare_history, _get(num_recent_events=80), reads=True),
    Operation("get after", _prepare_history, _get(after_timestamp=1010.0), reads=True),
    Operation("list", _prepare_history, _list, reads=True),
    Operation("user state", _prepare_history, _user_state, reads=True),
    Operation("indexes", _prepare_history, lambda scene: scene.far.ensure_indexes(), mongodb=True),  # type: ignore
    Operation("restore", _prepare_restore, _restore, alone=True),
]
