"""Plays the scenes of test_every_message.py: an operation runs, something happens to it, storage is checked."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from google.adk.sessions import Session
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisConnectionError
from support.every_message_checks import check_live, check_session, check_shared, check_windows, demand, gone, shared
from support.every_message_ledger import REFUSED, Ledger
from support.every_message_scenes import Operation, Scene
from support.message_proxy import INTERRUPTIONS, Fault, MessageProxy

from adk_extra_sessions import MongoSessionStore, SessionStore

PATIENCE = 100
"""Seconds that no operation may take, however slow the machine is."""

LIMIT = 150
"""Seconds that the drivers wait: longer, so that whoever waits for what never comes is found out."""

BROKEN = (RedisConnectionError, AutoReconnect)

numbers = itertools.count()


class Stage:
    """The stores of one test, and the scenes that are played on them."""

    def __init__(
        self, operation: Operation, proxy: MessageProxy, make_far: Callable[..., SessionStore], make_store: Any
    ) -> None:
        self.operation, self.proxy, self.cluster = operation, proxy, len(proxy.servers) > 1
        self.far = make_far(**operation.options)
        self.dying = make_far(brief=True, **operation.options)
        for store in (self.far, self.dying):  # their first write makes the indexes
            store.create_session(app_name="app", user_id="user")
        self.near, self.other, self.outside = make_store(), make_store(ttl="2h"), make_store()
        self.clear()

    def scene(self) -> Scene:
        ledger = Ledger(any_revision="on_stale" in self.operation.options)
        scene = Scene(str(next(numbers)), self.dying, self.near, self.other, self.proxy, ledger)
        scene.create("bystander")
        self.operation.prepare(scene)
        return scene

    def run(self, scene: Scene) -> BaseException | None:
        """Runs the operation; returns what it raised."""
        started = time.monotonic()
        try:
            self.operation.run(scene)
        except (*BROKEN, *REFUSED, KeyboardInterrupt) as error:
            return error
        finally:
            demand(time.monotonic() - started < PATIENCE, f"no operation takes {PATIENCE} seconds")
            if isinstance(self.near, MongoSessionStore):  # a last message may want no answer
                time.sleep(0.005)
        return None

    def count(self, far: SessionStore | None = None) -> int:
        """Counts the messages of an operation that nobody disturbs."""
        scene = self.scene()
        scene.far = far or self.far
        self.proxy.expect()
        if (error := self.run(scene)) is not None:
            raise error
        self.total = self.proxy.count
        self.check(scene)
        self.empty(scene)
        return self.total

    def play(self, fault: Fault, at: int, scene: Scene) -> None:
        """Has the fault happen at one message and looks at what became of it."""
        before = self.dump() if self.operation.reads and fault in INTERRUPTIONS else None
        scene.far = self.dying if fault.lasting else self.far
        self.proxy.expect(fault, at)
        error = self.run(scene)
        self.proxy.heal()
        for raised in self.proxy.errors:
            if not isinstance(raised, REFUSED):
                raise raised
        demand(before is None or before == self.dump(), "reading changes nothing on the server")
        self.check(scene)
        if fault in INTERRUPTIONS:
            demand(fault.lasting or error is None, f"what happens once is not noticed, but {error!r} was raised")
            demand(self.run(scene) is None, "the operation succeeds when it is tried again")
            self.check(scene, finished=True)
        else:
            demand(not isinstance(error, BROKEN), f"no connection broke, but {error!r} was raised")
            self.check(scene, finished=True)
        self.empty(scene)

    def check(self, scene: Scene, *, finished: bool = False) -> None:
        """Looks at all of a scene's sessions through a store that took no part.

        Args:
            scene: The scene.
            finished: Whether nobody has died in the middle, or all was tried again.
        """
        names, ledger = scene.names(), scene.ledger
        read = {}
        for session_id in ledger.creations:
            names["session_id"] = session_id
            read[session_id] = found = self.outside.get_session(**names)
            check_session(ledger, session_id, found)
        alive = {session_id: found for session_id, found in read.items() if found is not None}
        if finished and alive:
            longest = max(alive.values(), key=lambda one: len(one.events))
            check_windows(self.outside, longest, **{**names, "session_id": longest.id})
        self.check_lists(scene, alive)
        for session_id, found in alive.items():
            check_shared(ledger, session_id, shared(found.state))
        if finished:
            self.check_finished(scene)
        for live in [scene.live, *(one for one, _ in scene.batch)]:
            if live is not None:
                check_live(ledger, live, read[live.id])

    def check_lists(self, scene: Scene, alive: dict[str, Session]) -> None:
        """Compares a list with what was read one by one."""
        listed = {one.id: one for one in self.outside.list_sessions(app_name=scene.names()["app_name"]).sessions}
        demand(set(listed) == set(alive), f"all sessions are listed, not {set(listed)} of {set(alive)}")
        for session_id, found in alive.items():
            one = listed[session_id]
            demand(one.last_update_time == found.last_update_time, f"list and get agree on the time of {session_id}")
            keys = {*found.state, *one.state}
            differing = {key for key in keys if found.state.get(key) != one.state.get(key)}
            if self.cluster:  # there a list does not show app state yet whose writer died
                differing = {key for key in differing if not key.startswith("app:")}
            demand(not differing, f"list and get agree on {differing} of {session_id}")

    def check_finished(self, scene: Scene) -> None:
        """Looks at the user's state, and at what is left of sessions that were deleted."""
        names = scene.names()
        user = self.outside.get_user_state(app_name=names["app_name"], user_id=names["user_id"])
        check_shared(scene.ledger, "", {f"user:{key}": value for key, value in user.items()}, scope="user:")
        traces = gone(scene.ledger)
        left = [one for one in self.dump() if any(trace in one for trace in traces)] if traces else []
        demand(not left, f"nothing is left of a session that was deleted, not {[one[:200] for one in left]}")

    def empty(self, scene: Scene) -> None:
        """Deletes all sessions, after which nothing of them may be left on the server."""
        names = scene.names()
        for session_id in scene.ledger.creations:
            names["session_id"] = session_id
            self.outside.delete_session(**names)
        texts = [write.text[:30] for write in scene.ledger.writes if write.text]
        left = [one for one in self.dump() if any(part in one for part in [*scene.ledger.creations, *texts])]
        demand(not left, f"a deleted session leaves nothing behind, not {[one[:200] for one in left]}")
        self.clear()

    def dump(self) -> list[str]:
        """All that the server holds."""
        store: Any = self.outside
        if isinstance(store, MongoSessionStore):
            found = [
                repr(one)
                for name in store.backend.database.list_collection_names()
                for one in store.backend.database[name].find()
            ]
            return sorted(found)
        return sorted(repr((key, _value(store.client, key))) for key in self.keys())

    def keys(self) -> list[bytes]:
        store: Any = self.outside
        return list(store.client.scan_iter(match=f"{store.prefix}*", count=10_000))

    def clear(self) -> None:
        store: Any = self.outside
        if isinstance(store, MongoSessionStore):
            for name in store.backend.database.list_collection_names():
                store.backend.database[name].delete_many({})
        else:
            for key in self.keys():
                store.client.unlink(key)


def _value(client: Any, key: bytes) -> Any:
    kind = client.type(key)
    if kind == b"hash":
        return sorted(client.hgetall(key).items())
    if kind == b"list":
        return client.lrange(key, 0, -1)
    return sorted(client.smembers(key)) if kind == b"set" else client.zrange(key, 0, -1, withscores=True)
