"""The Redis budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from attrs import define
from google.adk.events import Event
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from pydantic import TypeAdapter

from adk_extra_sessions import RedisSessionService
from adk_extra_sessions.aio.threads import settle
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.event_json import encode_event
from adk_extra_sessions.records import AppendRequest, SessionKey
from benchmarks.budgets import Result, ms
from benchmarks.measure import medians, progress
from benchmarks.peers import adk_redis, adk_redis_session, community_redis
from benchmarks.workload import APP, a_session, append_rate, event, events, json_bytes

RAW = "redis.call('HSET', KEYS[1], 'r', ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[5])"
RECENT = GetSessionConfig(num_recent_events=20)


@define
class RedisBench:
    """Measures on one empty redis-server."""

    url: str
    peers: bool = True
    rounds: int = 40

    def counts(self) -> list[Result]:
        """Everything that does not depend on the machine's speed."""
        progress("Redis: round trips, bytes and memory")
        store = RedisSessionService(self.url).store
        admin = redis.Redis.from_url(self.url)

        def info(name: str) -> int:
            return int(admin.info()[name])

        def cost(name: str, operation: Callable[[], object], own: int) -> int:
            before = info(name)
            operation()
            return info(name) - before - own

        def trips(operation: Callable[[], object]) -> int:
            return cost("total_reads_processed", operation, 1)

        names: dict[str, Any] = {"app_name": APP, "user_id": "counted"}
        session = store.create_session(**names)
        store.append_event(session, event())
        store.get_session(**names, session_id=session.id)
        store.delete_session(**names, session_id=store.create_session(**names).id)
        results = []
        for what, operation in {
            "append": lambda: store.append_event(session, event()),
            "get": lambda: store.get_session(**names, session_id=session.id),
            "recent-20": lambda: store.get_session(**names, session_id=session.id, config=RECENT),
            "create": lambda: store.create_session(**names, session_id="made"),
            "delete": lambda: store.delete_session(**names, session_id="made"),
        }.items():
            results.append(Result("redis", f"round trips: {what}", trips(operation), 1))
        for _ in range(1000):
            store.create_session(app_name=APP, user_id="lister", state={"plan": "gold"})
        # The reply of 1,000 sessions is one trip each way, the requests may be read in parts: the client's sends count.
        listed = sends(store.client, lambda: store.list_sessions(app_name=APP, user_id="lister"))
        results.append(Result("redis", "round trips: list of 1,000 sessions", listed, 3))

        sample = [event() for _ in range(400)]
        own = cost("total_net_input_bytes", lambda: None, 0) + cost("total_net_output_bytes", lambda: None, 0)
        size = sum(len(encode_event(one).text) for one in sample) / len(sample)
        before = info("total_net_input_bytes"), info("total_net_output_bytes")
        for one in sample:
            store.append_event(session, one)
        after = info("total_net_input_bytes"), info("total_net_output_bytes")
        wire = (after[0] - before[0] + after[1] - before[1] - own) / len(sample)
        results.append(
            Result(
                "redis",
                "bytes on the wire an append, beyond the event's JSON",
                wire - size,
                430,
                detail=f"{wire:.0f} of {size:.0f}",
            )
        )
        session = store.create_session(**names)
        before_memory = info("used_memory")
        store.append_many((session, one) for one in events(5000))
        memory = (info("used_memory") - before_memory) / 5000
        results.append(
            Result(
                "redis",
                "server memory an event / JSON",
                memory / json_bytes(),
                1.15,
                detail=f"{memory:.0f} of {json_bytes():.0f} B",
            )
        )
        store.close()
        return results

    async def speeds(self) -> list[Result]:
        """Everything that is a ratio of times."""
        results: list[Result] = []
        async with RedisSessionService(self.url) as ours:
            results += await self._appends(ours)
            results += await self._reads(ours)
            if self.peers:
                results += await self._beside_adk(ours)
            results += await self._throughput(ours)
        return results

    async def _appends(self, ours: RedisSessionService) -> list[Result]:
        progress("Redis: append against history length and a raw script call")
        short, long = await a_session(ours, count=10), await a_session(ours, count=5000)
        store = ours.store
        raw_sha = store.client.script_load(RAW)
        raw_key = SessionKey(APP, "raw", "raw")

        def raw() -> Any:
            record = Codec().encode(event())
            call = store.backend.appending.call(AppendRequest(raw_key, [record], expected=1), 0)
            return call.keys, call.arguments

        prepared = [raw() for _ in range(self.rounds * 10 + 1)]

        def send() -> Any:
            keys, arguments = prepared.pop()
            return store.client.evalsha(raw_sha, len(keys), *keys, *arguments)

        made = iter([event() for _ in range(2 * (self.rounds * 10 + 1))])
        times = await medians(
            {
                "short": lambda: ours.append_event(short, next(made)),
                "long": lambda: ours.append_event(long, next(made)),
                "raw": lambda: settle(ours._threads.run(send)),
            },
            rounds=self.rounds,
        )
        return [
            Result(
                "redis",
                "append p50 at 5,000 events / at 10",
                times["long"] / times["short"],
                1.15,
                detail=f"{ms(times['long'])} / {ms(times['short'])}",
            ),
            Result(
                "redis",
                "append p50 / raw script call",
                times["short"] / times["raw"],
                1.5,
                detail=f"{ms(times['short'])} / {ms(times['raw'])}",
            ),
        ]

    async def _reads(self, ours: RedisSessionService) -> list[Result]:
        progress("Redis: reads against decoding alone")
        long, short = await a_session(ours, count=5000), await a_session(ours, count=20)
        text = b"[" + b",".join(encode_event(one).text for one in long.events) + b"]"
        adapter = TypeAdapter(list[Event])

        async def decode() -> object:
            return adapter.validate_json(text)

        get = await medians({"get": lambda: _get(ours, long), "decode": decode}, rounds=self.rounds // 3, repeat=1)
        recent = await medians(
            {"long": lambda: _get(ours, long, RECENT), "short": lambda: _get(ours, short, RECENT)}, rounds=self.rounds
        )
        return [
            Result(
                "redis",
                "get of 5,000 events / decoding them",
                get["get"] / get["decode"],
                1.15,
                detail=f"{ms(get['get'])} / {ms(get['decode'])}",
            ),
            Result(
                "redis",
                "recent-20 of 5,000 / of 20",
                recent["long"] / recent["short"],
                1.2,
                detail=f"{ms(recent['long'])} / {ms(recent['short'])}",
            ),
        ]

    async def _beside_adk(self, ours: RedisSessionService) -> list[Result]:
        progress("Redis: beside ADK's own service")
        adk = adk_redis(self.url)
        theirs, mine = await adk_redis_session(adk, 1000), await a_session(ours, count=1000)
        made = iter([event() for _ in range(200)])
        append = await medians(
            {"ours": lambda: ours.append_event(mine, next(made)), "adk": lambda: adk.append_event(theirs, next(made))},
            rounds=6,
        )
        progress("Redis: 1,000 sessions of 20 events for the lists")
        for _ in range(1000):
            await a_session(ours, "lister", 20)
            await adk_redis_session(adk, 20, "lister")
        lists = await medians(
            {
                "ours": lambda: ours.list_sessions(app_name=APP, user_id="lister"),
                "adk": lambda: adk.list_sessions(app_name=APP, user_id="lister"),
            },
            rounds=3,
            repeat=1,
        )
        return [
            Result(
                "redis",
                "append at 1,000 events, ADK's / ours",
                append["adk"] / append["ours"],
                100,
                at_least=True,
                detail=f"{ms(append['adk'])} / {ms(append['ours'])}",
            ),
            Result(
                "redis",
                "list of 1,000 sessions, ADK's / ours",
                lists["adk"] / lists["ours"],
                10,
                at_least=True,
                detail=f"{ms(lists['adk'])} / {ms(lists['ours'])}",
            ),
        ]

    async def _throughput(self, ours: RedisSessionService) -> list[Result]:
        results = []
        for tasks, promise in ((32, 3), (256, 2)):
            progress(f"Redis: {tasks} concurrent sessions")
            mine, failed = await append_rate(ours, tasks, 8000)
            results.append(Result("redis", f"failed appends, {tasks} sessions", failed, 0))
            if self.peers and (community := community_redis(self.url)):
                theirs, broken = await append_rate(community, tasks, 4000)
                detail = f"{mine:.0f} / {theirs:.0f} a second" + (f", {broken} of theirs failed" if broken else "")
                results.append(
                    Result(
                        "redis",
                        f"appends a second, {tasks} sessions, ours / google-adk-community's",
                        mine / theirs,
                        promise,
                        at_least=True,
                        detail=detail,
                    )
                )
        return results


async def _get(service: BaseSessionService, session: Session, config: GetSessionConfig | None = None) -> object:
    return await service.get_session(app_name=APP, user_id=session.user_id, session_id=session.id, config=config)


def sends(client: Any, operation: Callable[[], object]) -> int:
    """Counts how often a client waits for the server: each command or pipeline it sends."""
    counted = 0
    cls = type(client.connection_pool)
    original = cls.get_connection

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal counted
        counted += 1
        return original(*arguments, **named)

    cls.get_connection = counting
    try:
        operation()
    finally:
        cls.get_connection = original
    return counted
