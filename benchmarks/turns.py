"""A turn: what a Runner takes from a message to the answer, by the length of the session's history."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.events import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from adk_extra_sessions import MongoSessionService, RedisSessionService, SessionService
from benchmarks.budgets import Result, ms
from benchmarks.measure import medians, progress
from benchmarks.peers import adk_mongo, adk_redis
from benchmarks.workload import APP, WORDS

logging.getLogger("google_adk").setLevel(logging.ERROR)

LENGTHS = (10, 200, 1000, 5000)
SUMMARY_TURNS = 20
USER = "user"
CACHE = "64MB"
KINDS = (("text", "hello"), ("tool", "use the tool"))


class Prompt(BaseLlm):
    """A model that answers at once: with a call of the tool if it is asked to, and has not called it yet."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        last = llm_request.contents[-1].parts or []
        if any("use the tool" in (part.text or "") for part in last):
            call = types.FunctionCall(name="look_up", args={"word": "shoes"})
            parts = [types.Part(function_call=call)]
        else:
            parts = [types.Part(text="Here you are. " * 30)]
        yield LlmResponse(content=types.Content(role="model", parts=parts))


def look_up(word: str) -> dict[str, Any]:
    """Looks a word up."""
    return {"word": word, "found": ["red", "blue"] * 20}


async def growth_of_turns(redis_url: str, mongo_url: str, rounds: int) -> list[Result]:
    """Compares turns at 5,000 events with those at 200, with the options that load less, measured alternately.

    To be run before anything that keeps long histories in this process.
    """
    contenders = {}
    services = []
    for history in ("compacted", 50):
        made = RedisSessionService(redis_url, history=history, prefix="growth")  # type: ignore[arg-type]
        other = MongoSessionService(mongo_url, "growth", history=history)  # type: ignore[arg-type]
        for name, service in (("redis", made), ("mongodb", other)):
            services.append(service)
            runner = Runner(app_name=APP, agent=_agent(), session_service=service)
            for length in (200, 5000):
                id = f"{history}-{length}"
                progress(f"{name}, history={history}: {length} events")
                await _fill(str(history), service, id, length)
                for kind, text in KINDS:
                    contenders[f"{name}|{history}, {kind}|{length}"] = partial(_turn, runner, id, text)
    taken = await medians(contenders, rounds=rounds, repeat=1, collected=True)
    for service in services:
        await service.close()
    found = []
    for name in taken:
        backend, what, length = name.split("|")
        if length == "5000":
            long, short = taken[name], taken[f"{backend}|{what}|200"]
            title = f"turn at 5,000 events / at 200, history={what}"
            found.append(Result(backend, title, long / short, 1.15, detail=f"{ms(long)} / {ms(short)}"))
    return found


async def turns_with_cache(redis_url: str, mongo_url: str, rounds: int) -> list[Result]:
    """Compares turns at 5,000 events, decoded events kept in memory, with ADK's in-memory service and its light copy.

    To be run before anything that keeps long histories in this process.
    """
    light = "light copy"
    services: dict[str, BaseSessionService] = {
        light: _LightCopy(),
        "redis": RedisSessionService(redis_url, cache=CACHE, prefix="cache"),
        "mongodb": MongoSessionService(mongo_url, "cache", cache=CACHE),
    }
    contenders = {}
    for name, service in services.items():
        progress(f"{name}, with a cache: 5,000 events")
        await _fill(name, service, "cached", 5000)
        runner = Runner(app_name=APP, agent=_agent(), session_service=service)
        for kind, text in KINDS:
            contenders[f"{name}, {kind}"] = partial(_turn, runner, "cached", text)
    taken = await medians(contenders, rounds=3 * rounds, repeat=1, collected=True)
    for service in services.values():
        if isinstance(service, SessionService):
            await service.close()
    found = []
    for name in ("redis", "mongodb"):
        for kind, _ in KINDS:
            own, theirs = taken[f"{name}, {kind}"], taken[f"{light}, {kind}"]
            title = f"turn at 5,000 events, {kind}, cache={CACHE} / ADK's in memory with its light copy"
            found.append(Result(name, title, own / theirs, 1.15, detail=f"{ms(own)} / {ms(theirs)}"))
    return found


async def turns(redis_url: str, mongo_url: str, folder: Path, rounds: int) -> dict[str, dict[int, float]]:
    """Measures turns of text and turns with a tool on every service.

    Args:
        redis_url: An empty redis-server.
        mongo_url: An empty replica set.
        folder: For sqlite's file.
        rounds: How often each has its turn at each length.

    Returns:
        The median seconds of a turn, by what it was and the history's length.
    """
    made: dict[str, dict[int, float]] = {}
    services = _services(redis_url, mongo_url, folder)
    for length in LENGTHS:
        contenders = {}
        for name, service in services.items():
            progress(f"{name}: {length} events")
            id = f"{name}-{length}".replace(" ", "-").replace("=", "-")
            await _fill(name, service, id, length)
            runner = Runner(app_name=APP, agent=_agent(), session_service=service)
            for kind, text in KINDS:
                contenders[f"{name}, {kind}"] = partial(_turn, runner, id, text)
        progress(f"turns at {length} events")
        for name, taken in (await medians(contenders, rounds=rounds, repeat=1, collected=True)).items():
            made.setdefault(name, {})[length] = taken
    for service in services.values():
        if isinstance(service, SessionService):
            await service.close()
    return made


def _services(redis_url: str, mongo_url: str, folder: Path) -> dict[str, BaseSessionService]:
    services: dict[str, BaseSessionService] = {
        "ADK in memory": InMemorySessionService(),
        "ADK in memory, light copy": _LightCopy(),
        "ADK on sqlite": SqliteSessionService(db_path=str(folder / "turns.db")),
        "ADK on Redis": adk_redis(redis_url),
        "ADK on MongoDB": adk_mongo(mongo_url + "&w=majority", "adk"),
    }
    for history in ("all", "compacted", 50):
        services[f"ours on Redis, history={history}"] = RedisSessionService(redis_url, history=history)  # type: ignore[arg-type]
        services[f"ours on MongoDB, history={history}"] = MongoSessionService(mongo_url, "ours", history=history)  # type: ignore[arg-type]
    services["ours on Redis, with a cache"] = RedisSessionService(redis_url, cache=CACHE)
    services["ours on MongoDB, with a cache"] = MongoSessionService(mongo_url, "ours", cache=CACHE)
    return services


class _LightCopy(InMemorySessionService):
    """ADK's in-memory service with its flag for copies that share the events."""

    async def get_session(self, **arguments: Any) -> Any:
        os.environ["ADK_ENABLE_IN_MEMORY_SESSION_SERVICE_LIGHT_COPY"] = "1"
        try:
            return await super().get_session(**arguments)
        finally:
            del os.environ["ADK_ENABLE_IN_MEMORY_SESSION_SERVICE_LIGHT_COPY"]


def _agent() -> LlmAgent:
    return LlmAgent(name="agent", model=Prompt(model="prompt"), tools=[look_up])


async def _turn(runner: Runner, id: str, text: str) -> None:
    message = types.Content(role="user", parts=[types.Part(text=text)])
    async for _ in runner.run_async(user_id=USER, session_id=id, new_message=message):
        pass


async def _fill(name: str, service: BaseSessionService, id: str, length: int) -> None:
    """Creates a session with a history; with summaries, each of all before it, where these are used."""
    session = await service.create_session(app_name=APP, user_id=USER, session_id=id)
    history = list(_history(length, summaries="compacted" in name))
    if name == "ADK on Redis":  # its appends take a second each in the end
        session.events = history
        key = service._session_key(APP, USER, id)  # type: ignore[attr-defined]
        await service._get_redis().set(key, session.model_dump_json())  # type: ignore[attr-defined]
    elif isinstance(service, SessionService):
        service.store.append_many((session, one) for one in history)
    else:
        for one in history:
            await service.append_event(session, one)


def _history(length: int, *, summaries: bool) -> Iterator[Event]:
    """Makes turns of a question and an answer, of 600 bytes each."""
    start = 1_700_000_000.0
    for number in range(length):
        time = start + number
        if summaries and number % (2 * SUMMARY_TURNS + 1) == 2 * SUMMARY_TURNS:
            content = types.Content(role="model", parts=[types.Part(text=(WORDS * 9)[:700])])
            summary = EventCompaction(start_timestamp=start, end_timestamp=time - 1, compacted_content=content)
            yield Event(author="user", timestamp=time, actions=EventActions(compaction=summary))
            continue
        author, role = ("user", "user") if number % 2 == 0 else ("agent", "model")
        content = types.Content(role=role, parts=[types.Part(text=(WORDS * 6)[:400])])
        yield Event(author=author, timestamp=time, invocation_id=f"turn{number // 2}", content=content)


def columns(made: Mapping[str, Mapping[int, float]]) -> str:
    """Returns a Markdown table of all turns, with a column for each length."""
    lines = [
        f"| turn at | {' | '.join(f'{length:,} events' for length in LENGTHS)} |",
        f"| --- |{' ---: |' * len(LENGTHS)}",
    ]
    lines += [f"| {name} | {' | '.join(_thousands(one[length]) for length in LENGTHS)} |" for name, one in made.items()]
    return "\n".join(lines)


def _thousands(seconds: float) -> str:
    return f"{float(f'{seconds * 1000:.3g}'):,g} ms"


def results(made: Mapping[str, Mapping[int, float]]) -> Iterator[Result]:
    """Compares turns with ADK's own."""
    for kind in ("text", "tool"):
        fastest = min(made[f"{name}, {kind}"][1000] for name in ("ADK on sqlite", "ADK on Redis", "ADK on MongoDB"))
        for backend in ("Redis", "MongoDB"):
            for history in ("compacted", "50"):
                own = made[f"ours on {backend}, history={history}, {kind}"][1000]
                what = f"turn at 1,000 events, {kind}, ADK's fastest on a database / ours with history={history}"
                yield Result(
                    backend.lower(), what, fastest / own, 3, at_least=True, detail=f"{ms(fastest)} / {ms(own)}"
                )
