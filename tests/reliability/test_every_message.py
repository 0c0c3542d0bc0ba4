"""Every message of every operation, broken off or interleaved with others' work; then storage is checked from outside.

The messages of an operation are counted once. Then, for each of them, it runs
anew and its connection breaks there, its process dies there, or it waits there
while another store completes an operation of its own. What must hold
afterwards is in every_message_checks.py. Others' work is drawn at random;
ADK_EXTRA_SESSIONS_EXAMPLES says how many draws there are for each operation.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import redis
from google.adk.sessions import Session
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.dumps import holding
from support.every_message_checks import Violation
from support.every_message_meanwhile import MEANWHILE
from support.every_message_scenes import FULL, OPERATIONS
from support.every_message_stage import BROKEN, LIMIT, Stage
from support.message_proxy import INTERRUPTIONS, Fault, MessageProxy

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionNotFoundError, SessionStore
from adk_extra_sessions.doctor import Level, examine
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import an_event
from adk_extra_sessions.turns import turn

DRAWS = int(os.environ.get("ADK_EXTRA_SESSIONS_EXAMPLES", "4"))


@pytest.fixture(params=["redis", "rediscluster", "replicaset"])  # the same messages as on a standalone mongod
def backend(request: pytest.FixtureRequest) -> str:
    """Real servers only: a fake has no messages."""
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
    monkeypatch.setattr(turn, "PROMPT", 600.0)  # on a slow machine a server that can be reached takes longer, too
    address = f"127.0.0.1:{next(iter(proxy.ports.values()))}"
    made: list[Any] = []

    def make(*, brief: bool = False, **options: Any) -> SessionStore:
        if backend == "rediscluster":
            nodes = redis.RedisCluster.from_url(
                f"redis://{address}",
                address_remap=lambda node: (node[0], proxy.ports.get(node[1], node[1])),
                socket_timeout=LIMIT,
            )
            made.append(RedisSessionStore(client=nodes, prefix=storage["prefix"], **options))
        elif backend == "redis":
            options |= {"retry": Retry(NoBackoff(), 3), "socket_timeout": LIMIT}
            made.append(RedisSessionStore(f"redis://{address}", prefix=storage["prefix"], **options))
        else:
            url = f"mongodb://{address}/?directConnection=true&serverMonitoringMode=poll"
            # With the usual timeout pymongo tries again for so long; with the other, once.
            options["socketTimeoutMS" if brief else "timeoutMS"] = LIMIT * 1000
            made.append(MongoSessionStore(url, db_name=storage["db_name"], **options))
        return made[-1]

    yield make
    for store in made:
        store.close()
        store.client.close()


@contextmanager
def _named(stage: Stage, backend: str, what: str, at: int) -> Iterator[None]:
    """Tells of a failure where it happened."""
    try:
        yield
    except BaseException as error:
        place = f"{backend}, {stage.operation.name}, message {at} of {stage.total}, {what}"
        raise Violation(f"{place}: {error if isinstance(error, Violation) else repr(error)}") from error


# On Redis some are the same as another.
ON_ALL, MONGODB_ONLY = (), pytest.mark.not_on("redis", "rediscluster")


@pytest.fixture(
    params=[pytest.param(one, marks=MONGODB_ONLY if one.mongodb else ON_ALL) for one in OPERATIONS],
    ids=lambda operation: operation.name.replace(" ", "-"),
)
def stage(
    request: pytest.FixtureRequest,
    backend: str,
    proxy: MessageProxy,
    make_far: Callable[..., SessionStore],
    make_store: Callable[..., SessionStore],
) -> Stage:
    operation = request.param
    stage = Stage(operation, proxy, make_far, make_store)
    for far in (stage.dying, stage.far):  # Redis learns the scripts
        stage.count(far)
    return stage


def test_interrupted(stage: Stage, backend: str) -> None:
    chance = random.Random(stage.operation.name)
    count = stage.count()
    for at in range(1, count + 1):
        # All in turn where there are few messages, otherwise one drawn for each.
        for fault in chance.sample(INTERRUPTIONS, 1 if count > 6 and DRAWS < 100 else len(INTERRUPTIONS)):
            with _named(stage, backend, fault.name, at):
                stage.play(fault, at, stage.scene())


WHEN: dict[str, dict[str, Any]] = {
    "before": {},
    "after": {},
    "after, and the reply is lost": {"answered": False},
}
"""When others do their work: before the server gets a message, or after that and before the reply.

That the reply is lost as well is tried on MongoDB, where an append is several messages.
"""


def test_preempted(stage: Stage, backend: str) -> None:
    chance = random.Random(stage.operation.name)
    others = [] if stage.operation.alone else MEANWHILE
    moments = [when for when in WHEN if "lost" not in when or not backend.startswith("redis")]
    cases = list(itertools.product(range(1, stage.count() + 1), moments, others))
    for at, when, other in chance.sample(cases, min(DRAWS, len(cases))):
        with _named(stage, backend, f"{other.__name__} {when}", at):
            scene = stage.scene()
            act = {when.partition(",")[0]: partial(other, scene)}
            stage.play(Fault("meanwhile", **act, **WHEN[when]), at, scene)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["broken-off", "appended-to"])
def test_an_erasure_leaves_nothing(
    backend: str,
    proxy: MessageProxy,
    make_far: Callable[..., SessionStore],
    make_store: Callable[..., SessionStore],
    meanwhile: bool,
) -> None:
    """Broken off at any of its messages, it is run again; an append at any of them fails or goes with the rest."""
    far, dying, near = make_far(), make_far(brief=True), make_store()
    app_name = "erasure"
    near.create_session(app_name=app_name, user_id="neighbour")
    for number in itertools.count():
        user = {"app_name": app_name, "user_id": f"erased{number}x"}
        session = near.create_session(**user, session_id="s", state={"user:a": 1, "app:b": 1})
        near.append_many((session, an_event(delta={"user:a": at})) for at in range(FULL))
        near.turns.swap(SessionKey(**user, session_id="s"), None, "the turn of a run under way")
        if number < 2:  # at first Redis learns the scripts
            proxy.expect()
            far.delete_user(**user)
            count = proxy.count
            continue
        at = number - 1
        if at > count:
            break

        def append(session: Session = session) -> None:
            with suppress(SessionNotFoundError):
                near.append_event(session, an_event(delta={"user:a": "late", "app:b": 2}))

        fault = Fault("append", before=append) if meanwhile else INTERRUPTIONS[number % len(INTERRUPTIONS)]
        proxy.expect(fault, at)
        with suppress(*BROKEN, KeyboardInterrupt):
            (dying if fault.lasting else far).delete_user(**user)
        proxy.heal()
        assert not proxy.errors
        if not meanwhile:
            near.delete_user(**user)
        assert holding(near, user["user_id"]) == [], f"{fault.name} at message {at} of {count}"


def _append(store: SessionStore, session: Session) -> None:
    store.append_event(session, an_event(delta={"user:a": "late", "app:b": 2}))


OVERTAKEN: dict[str, Callable[[SessionStore, Session], Any]] = {
    "create": lambda store, one: store.create_session(
        app_name=one.app_name, user_id=one.user_id, session_id="new", state={"user:a": 1, "app:b": 1}
    ),
    "append": _append,
    "rename": lambda store, one: store.update_session(**_names(one), display_name="new", labels={"new": "yes"}),
    "let expire": lambda store, one: store.update_session(**_names(one), ttl="1h"),
    "delete": lambda store, one: store.delete_session(**_names(one)),
}
"""Operations on a session at whose messages all is erased."""


def _names(session: Session) -> dict[str, Any]:
    return {"app_name": session.app_name, "user_id": session.user_id, "session_id": session.id}


@pytest.mark.parametrize("erased", ["user", "app"])
@pytest.mark.parametrize("operation", OVERTAKEN.values(), ids=OVERTAKEN)
def test_what_an_erasure_overtakes_is_erased_or_listed(
    operation: Callable[[SessionStore, Session], Any],
    erased: str,
    proxy: MessageProxy,
    make_far: Callable[..., SessionStore],
    make_store: Callable[..., SessionStore],
) -> None:
    far, near = make_far(), make_store()

    def erase(user: dict[str, str]) -> None:
        near.delete_user(**user) if erased == "user" else near.delete_app(app_name=user["app_name"])

    for number in itertools.count(-1):  # at first Redis learns the scripts, then the messages are counted
        user = {"app_name": f"app{number}x", "user_id": f"user{number}x"}
        session = near.create_session(**user, session_id="s", state={"user:a": 1, "app:b": 1})
        proxy.expect(Fault("erase", before=partial(erase, user)) if number > 0 else None, number)
        with suppress(SessionNotFoundError):
            operation(far, session)
        proxy.heal()
        assert not proxy.errors
        if number > proxy.count:
            break
        there = [one for one in ("s", "new") if near.get_session(**user, session_id=one)]
        for listed in (near.iter_sessions(**user), near.iter_sessions(app_name=user["app_name"])):
            assert sorted(one.id for one in listed) == sorted(there), f"message {number}"
        word = user["user_id" if erased == "user" else "app_name"]
        assert there or number < 1 or holding(near, word) == [], f"message {number}"
        erase(user)
        assert holding(near, word) == [], f"message {number}"


def _delete_and_create(store: SessionStore, session: Session) -> None:
    store.delete_session(**_names(session))
    store.append_event(store.create_session(**_names(session)), an_event())


MISLEADING: dict[str, Callable[[SessionStore, Session], Any]] = {
    "delete": OVERTAKEN["delete"],
    "delete and create": _delete_and_create,
    "erase": lambda store, one: store.delete_user(app_name=one.app_name, user_id=one.user_id),
}
"""Operations at the doctor's messages, none of which is a problem."""


@pytest.mark.parametrize("meanwhile", MISLEADING.values(), ids=MISLEADING)
def test_the_doctor_finds_no_problem_in_what_others_do_meanwhile(
    meanwhile: Callable[[SessionStore, Session], Any],
    proxy: MessageProxy,
    make_far: Callable[..., SessionStore],
    make_store: Callable[..., SessionStore],
) -> None:
    far, near = make_far(), make_store()
    for number in itertools.count(-1):
        session = near.create_session(app_name="app", user_id="user", session_id=f"s{number}x", state={"user:a": 1})
        near.append_many((session, an_event()) for _ in range(FULL))
        proxy.expect(Fault("meanwhile", before=partial(meanwhile, near, session)) if number > 0 else None, number)
        problems = [one.text for one in examine(far) if one.level is Level.PROBLEM]
        proxy.heal()
        assert not proxy.errors
        assert not problems, f"message {number}"
        if number > proxy.count:
            break
        near.delete_app(app_name="app")


@pytest.mark.parametrize("interrupts", [True, False], ids=["Ctrl-C", "reply lost"])
def test_whatever_happens_once_at_any_message_of_a_turn_it_is_given_back(
    proxy: MessageProxy,
    make_far: Callable[..., SessionStore],
    make_store: Callable[..., SessionStore],
    interrupts: bool,
) -> None:
    far, near, names = make_far(), make_store(), {"app_name": "app", "user_id": "user", "session_id": "s"}
    for number in itertools.count(-1):
        proxy.expect(Fault("", answered=False, interrupts=interrupts) if number > 0 else None, number)
        with suppress(KeyboardInterrupt), far.turn(**names, wait=60):
            pass
        proxy.heal()
        if number > proxy.count:
            break
        with near.turn(**names, wait=0):
            pass
