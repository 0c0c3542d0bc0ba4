"""The MongoDB budgets."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from typing import Any

from attrs import define
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions import MongoSessionService
from adk_extra_sessions.aio.threads import settle
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.event_json import encode_event
from benchmarks.budgets import Result, ms
from benchmarks.measure import medians, progress
from benchmarks.peers import adk_mongo
from benchmarks.workload import APP, a_session, append_rate, event

RECENT = GetSessionConfig(num_recent_events=20)
SHARED = {"user:a": 1, "app:b": 2}


@define
class MongoBench:
    """Measures on one empty replica set of one, majority and journaled."""

    url: str
    peers: bool = True
    rounds: int = 40

    def counts(self) -> list[Result]:
        """Everything that does not depend on the machine's speed."""
        progress("MongoDB: messages")
        store = MongoSessionService(self.url, "counts").store
        store.ensure_indexes()
        names: dict[str, Any] = {"app_name": APP, "user_id": "counted"}

        def requests() -> int:
            return int(store.client.admin.command("serverStatus")["network"]["numRequests"])

        def messages(operation: Callable[[], object], repeat: int = 1) -> float:
            """Messages an operation; the smallest of some tries, since heartbeats are counted too."""
            tries = []
            for _ in range(5 if repeat == 1 else 1):
                before = requests()
                for _ in range(repeat):
                    operation()
                tries.append((requests() - before - 1) / repeat)
            return min(tries)

        session = store.create_session(**names)
        store.append_event(session, event())
        long = store.create_session(**names)
        store.append_many((long, event()) for _ in range(5000))
        appends = messages(lambda: store.append_event(session, event()), 500)
        shared = messages(lambda: store.append_event(session, event({"own": 0, **SHARED})), 200)
        half = store.create_session(**names)
        store.append_many((half, event()) for _ in range(limits.TAIL_EVENTS))

        def get(one: Session, config: GetSessionConfig | None = None) -> object:
            return store.get_session(**names, session_id=one.id, config=config)

        results = [
            Result("mongodb", "messages an append, session keys", appends, 1.1),
            Result("mongodb", "messages an append, with app: and user: keys", shared, 5.1),
            Result("mongodb", f"messages: get of {limits.TAIL_EVENTS} events", messages(lambda: get(half)), 1),
            Result("mongodb", "messages: recent-20 of 5,000", messages(lambda: get(long, RECENT)), 1),
            Result("mongodb", "messages: create", messages(lambda: store.create_session(**names)), 2),
        ]
        store.close()
        return results

    async def speeds(self) -> list[Result]:
        """Everything that is a ratio of times."""
        async with MongoSessionService(self.url, "ours") as ours:
            ours.store.ensure_indexes()
            results = await self._appends(ours)
            if self.peers:
                results += await self._beside_adk(ours)
        return results

    async def _appends(self, ours: MongoSessionService) -> list[Result]:
        progress("MongoDB: append against history length and a raw $push")
        short, long = await a_session(ours, count=10), await a_session(ours, count=5000)
        collection = ours.store.client["ours"]["raw"]
        collection.insert_one({"_id": "raw", "events": []})
        bodies = iter([encode_event(event()).text.decode() for _ in range(self.rounds * 10 + 1)])

        def push() -> object:
            return collection.update_one({"_id": "raw"}, {"$push": {"events": next(bodies)}})

        made = iter([event() for _ in range(2 * (self.rounds * 10 + 1))])
        times = await medians(
            {
                "short": lambda: ours.append_event(short, next(made)),
                "long": lambda: ours.append_event(long, next(made)),
                "raw": lambda: settle(ours._threads.run(push)),
            },
            rounds=self.rounds,
        )
        return [
            Result(
                "mongodb",
                "append p50 at 5,000 events / at 10",
                times["long"] / times["short"],
                1.3,
                detail=f"{ms(times['long'])} / {ms(times['short'])}",
            ),
            Result(
                "mongodb",
                "append p50 / raw update_one with $push",
                times["short"] / times["raw"],
                1.5,
                detail=f"{ms(times['short'])} / {ms(times['raw'])}",
            ),
        ]

    async def _beside_adk(self, ours: MongoSessionService) -> list[Result]:
        progress("MongoDB: beside ADK's own service")
        adk = adk_mongo(self.url + "&w=majority", "adk")
        mine, theirs = await a_session(ours, count=1000), await a_session(adk, count=1000)
        both: dict[str, tuple[BaseSessionService, Session]] = {"ours": (ours, mine), "adk": (adk, theirs)}
        appends = {name: _append(*pair) for name, pair in both.items()}
        plain = await medians({**appends, "bare": _bare_update(ours)}, rounds=self.rounds, repeat=5)
        shared = await medians(
            {name: _append(*pair, delta=SHARED) for name, pair in both.items()}, rounds=self.rounds, repeat=5
        )
        recent = await medians({name: _recent(*pair) for name, pair in both.items()}, rounds=self.rounds, repeat=5)
        create = await medians(
            {name: _create(service) for name, (service, _) in both.items()}, rounds=self.rounds, repeat=5
        )
        for service in (ours, adk):
            await asyncio.gather(
                *(service.create_session(app_name=APP, user_id="lister", state={"plan": "gold"}) for _ in range(1000))
            )
        lists = await medians({name: _list(service) for name, (service, _) in both.items()}, rounds=7, repeat=1)
        results = [
            _beside("append at 1,000 events", plain, 2.5),
            _beside("append at 1,000 events with app: and user: keys", shared, 1.25),
            _beside("recent-20 of 1,000", recent, 1.5),
            _beside("create", create, 1.1),
            _beside("list of 1,000 sessions", lists, 1.5),
        ]
        for tasks, promise in ((1, 1.5), (32, 4), (256, 4)):
            results += await self._throughput(ours, adk, tasks, promise)
        await adk.close()
        return results

    async def _throughput(self, ours: MongoSessionService, adk: Any, tasks: int, promise: float) -> list[Result]:
        progress(f"MongoDB: {tasks} concurrent sessions")
        mine = [await append_rate(ours, tasks, 3000) for _ in range(2)]
        theirs = [await append_rate(adk, tasks, 1000) for _ in range(2)]
        mixed, lost = await append_rate(ours, tasks, 3000, longest=limits.TAIL_EVENTS)
        rate, other = (statistics.fmean(one for one, _ in taken) for taken in (mine, theirs))
        failed = sum(failed for _, failed in mine) + lost
        detail = f"{rate:.0f} / {other:.0f} a second; with histories of all lengths ours {mixed:.0f}"
        what = f"appends a second, {tasks} sessions, ours / ADK's"
        return [
            Result("mongodb", f"failed appends, {tasks} sessions", failed, 0),
            Result("mongodb", what, rate / other, promise, at_least=True, detail=detail),
        ]


def _append(service: BaseSessionService, session: Session, delta: dict[str, object] | None = None) -> Callable[[], Any]:
    made = iter([event(delta) for _ in range(1000)])
    return lambda: service.append_event(session, next(made))


def _bare_update(ours: MongoSessionService) -> Callable[[], Any]:
    """The least that any append could be: one field of one small document, through the same thread and journal."""
    collection = ours.store.client["ours"]["bare"]
    collection.insert_one({"_id": "bare", "count": 0})

    def update() -> object:
        return collection.update_one({"_id": "bare"}, {"$inc": {"count": 1}})

    return lambda: settle(ours._threads.run(update))


def _recent(service: BaseSessionService, session: Session) -> Callable[[], Any]:
    names: dict[str, Any] = {"app_name": APP, "user_id": session.user_id, "session_id": session.id}
    return lambda: service.get_session(**names, config=RECENT)


def _create(service: BaseSessionService) -> Callable[[], Any]:
    return lambda: service.create_session(app_name=APP, user_id="creator", state={"plan": "gold"})


def _list(service: BaseSessionService) -> Callable[[], Any]:
    return lambda: service.list_sessions(app_name=APP, user_id="lister")


def _beside(what: str, times: dict[str, float], promise: float) -> Result:
    detail = f"{ms(times['adk'])} / {ms(times['ours'])}"
    if "bare" in times:
        detail += f"; one counter raised: {ms(times['bare'])}"
    return Result(
        "mongodb", f"{what}, ADK's / ours", times["adk"] / times["ours"], promise, at_least=True, detail=detail
    )
