"""Every message of every operation, broken off or interleaved with others' work; then storage is checked from outside.

The messages of an operation are counted once. Then, for each of them, it runs
anew and its connection breaks there, its process dies there, or it waits there
while another store completes an operation of its own. What must hold
afterwards is in every_message_ledger.py. Others' work is drawn at random;
ADK_EXTRA_SESSIONS_EXAMPLES says how many draws there are for each operation.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import redis
from every_message_ledger import REFUSED, Ledger, Violation, check_windows, demand
from every_message_scenes import MEANWHILE, OPERATIONS, Operation, Scene
from message_proxy import INTERRUPTIONS, Fault, MessageProxy
from pymongo.errors import AutoReconnect
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore

DRAWS = int(os.environ.get("ADK_EXTRA_SESSIONS_EXAMPLES", "8"))

PATIENCE = 15
"""Seconds that no operation may take: less than any driver's timeouts after one another."""

NOT_YET = {("get after", "meanwhile_recreate"), ("append any large", "meanwhile_recreate")}
NOT_YET |= set(
    itertools.product(
        ("append shared", "append ttl", "append any", "append any large", "append large", "append batch"),
        ("meanwhile_delete", "meanwhile_recreate"),
    )
)
"""What does not hold yet."""

BROKEN = (RedisConnectionError, AutoReconnect)

numbers = itertools.count()


@pytest.fixture(params=["redis", "rediscluster", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """Real servers only: a fake has no messages."""
    from conftest import need

    need("redis-server" if request.param.startswith("redis") else "mongod")
    return str(request.param)


@pytest.fixture
def proxy(backend: str, server: Any, storage: dict[str, Any]) -> Iterator[MessageProxy]:
    """Between the servers and the store that is interfered with."""
    nodes = server.nodes if backend == "rediscluster" else [server]
    marker = storage.get("prefix") or storage["db_name"]
    with MessageProxy(tuple(node.port for node in nodes), marker.encode(), backend.startswith("redis")) as proxy:
        yield proxy


@pytest.fixture
def make_far(
    backend: str, storage: dict[str, Any], proxy: MessageProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SessionStore]]:
    """Makes stores behind the proxy."""
    # The drivers look at once for a server they have lost.
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.005)
    address = f"127.0.0.1:{next(iter(proxy.ports.values()))}"
    made: list[Any] = []

    def make(*, brief: bool = False, **options: Any) -> SessionStore:
        if backend == "rediscluster":
            nodes = redis.RedisCluster.from_url(
                f"redis://{address}", address_remap=lambda node: (node[0], proxy.ports.get(node[1], node[1]))
            )
            made.append(RedisSessionStore(client=nodes, prefix=storage["prefix"], **options))
        elif backend == "redis":
            retry = Retry(NoBackoff(), 3)
            made.append(RedisSessionStore(f"redis://{address}", prefix=storage["prefix"], retry=retry, **options))
        else:
            url = f"mongodb://{address}/?directConnection=true&serverMonitoringMode=poll"
            # With its default timeout pymongo tries again for 20 seconds; with this one, once.
            options |= {"socketTimeoutMS": 10_000} if brief else {}
            made.append(MongoSessionStore(url, db_name=storage["db_name"], **options))
        return made[-1]

    yield make
    for store in made:
        store.close()
        store.client.close()


class Stage:
    """The stores of one test, and the scenes that are played on them."""

    def __init__(
        self, operation: Operation, proxy: MessageProxy, make_far: Callable[..., SessionStore], make_store: Any
    ) -> None:
        self.operation, self.proxy, self.cluster = operation, proxy, len(proxy.servers) > 1
        self.far = make_far(**operation.options)
        self.dying = make_far(brief=True, **operation.options)
        self.near, self.other, self.outside = make_store(), make_store(ttl="2h"), make_store()

    def scene(self) -> Scene:
        ledger = Ledger(any_revision="on_stale" in self.operation.options)
        scene = Scene(str(next(numbers)), self.far, self.near, self.other, ledger)
        if self.operation.alone or self.operation.name == "append":
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
            if self.proxy.unanswered:
                time.sleep(0.01)
        return None

    def count(self) -> int:
        """Counts the messages of an operation that nobody disturbs."""
        scene = self.scene()
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
        """Looks at all of a scene's sessions through a store that took no part."""
        names, ledger = scene.names(), scene.ledger
        read = {}
        for session_id in ledger.creations:
            names["session_id"] = session_id
            read[session_id] = found = self.outside.get_session(**names)
            ledger.check_session(session_id, found)
            if found is not None and finished:
                check_windows(self.outside, found, **names)
        alive = {session_id: found for session_id, found in read.items() if found is not None}
        listed = {one.id: one for one in self.outside.list_sessions(app_name=names["app_name"]).sessions}
        demand(set(listed) == set(alive), f"all sessions are listed, not {set(listed)} of {set(alive)}")
        for session_id, found in alive.items():
            one = listed[session_id]
            # On a cluster a list does not show app state yet whose writer died.
            mine, shown = (
                {k: v for k, v in s.items() if not (self.cluster and k.startswith("app:"))}
                for s in (found.state, one.state)
            )
            demand(
                (mine, found.last_update_time) == (shown, one.last_update_time), f"list and get agree on {session_id}"
            )
            ledger.check_shared(
                session_id, {key: value for key, value in found.state.items() if key.startswith(("app:", "user:"))}
            )
        if finished and alive:
            user = self.outside.get_user_state(app_name=names["app_name"], user_id=names["user_id"])
            shown = {f"user:{key}": value for key, value in user.items()}
            state = next(iter(alive.values())).state
            demand(shown == {k: v for k, v in state.items() if k.startswith("user:")}, "get_user_state agrees with get")
        gone = ledger.gone() if finished else []
        left = [one for one in self.dump() if any(part in one for part in gone)] if gone else []
        demand(not left, f"nothing is left of a session that was deleted, not {[one[:200] for one in left]}")
        for live in [scene.live, *(one for one, _ in scene.batch)]:
            if live is not None:
                ledger.check_live(live, read[live.id])

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
                repr(one) for name in store._database.list_collection_names() for one in store._database[name].find()
            ]
            return sorted(found)
        return sorted(repr((key, _value(store.client, key))) for key in self.keys())

    def keys(self) -> list[bytes]:
        store: Any = self.outside
        return list(store.client.scan_iter(match=f"{store.prefix}*", count=10_000))

    def clear(self) -> None:
        store: Any = self.outside
        if isinstance(store, MongoSessionStore):
            for name in store._database.list_collection_names():
                store._database[name].delete_many({})
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


@contextmanager
def _named(stage: Stage, backend: str, what: str, at: int) -> Iterator[None]:
    """Tells of a failure where it happened."""
    try:
        yield
    except BaseException as error:
        place = f"{backend}, {stage.operation.name}, message {at} of {stage.total}, {what}"
        raise Violation(f"{place}: {error if isinstance(error, Violation) else repr(error)}") from error


@pytest.fixture(params=OPERATIONS, ids=lambda operation: operation.name.replace(" ", "-"))
def stage(
    request: pytest.FixtureRequest,
    backend: str,
    proxy: MessageProxy,
    make_far: Callable[..., SessionStore],
    make_store: Callable[..., SessionStore],
) -> Stage:
    operation = request.param
    if operation.mongodb and backend.startswith("redis"):
        pytest.skip("it is the same as another operation on Redis")
    stage = Stage(operation, proxy, make_far, make_store)
    stage.count()  # makes indexes, and has Redis know the scripts
    return stage


def test_interrupted(stage: Stage, backend: str) -> None:
    chance = random.Random(stage.operation.name)
    count = stage.count()
    for at in range(1, count + 1):
        # All in turn where there are few messages, else two drawn for each.
        for fault in chance.sample(INTERRUPTIONS, 2 if count > 6 and DRAWS < 100 else len(INTERRUPTIONS)):
            with _named(stage, backend, fault.name, at):
                stage.play(fault, at, stage.scene())


def test_preempted(stage: Stage, backend: str) -> None:
    chance = random.Random(stage.operation.name)
    others = [] if stage.operation.alone else MEANWHILE
    cases = list(itertools.product(range(1, stage.count() + 1), ("before", "after"), others))
    cases = [case for case in cases if (stage.operation.name, case[2].__name__) not in NOT_YET]
    for at, when, other in chance.sample(cases, min(DRAWS, len(cases))):
        with _named(stage, backend, f"{other.__name__} {when}", at):
            scene = stage.scene()
            stage.play(Fault("meanwhile", **{when: partial(other, scene)}), at, scene)  # type: ignore[arg-type]
