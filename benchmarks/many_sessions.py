"""Fills a session service with conversations, always the same ones: `python -m benchmarks.many_sessions URL`.

Sessions have up to a dozen events, a few of them hundreds, one of them very many. They share state of 50 users to
an app. The service writes them as a Runner would: it creates a session, and appends event by event.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Iterator

from google.adk.cli.service_registry import get_service_registry
from google.adk.events import Event, EventActions
from google.adk.sessions import BaseSessionService
from google.genai import types

from adk_extra_sessions import MongoSessionService, RedisSessionService

WORDS = ["when", "will", "my", "order", "come", "please", "about", "the", "green", "bicycle", "naïve", "自転車", "🚲"]
START = 1_750_000_000.0


def service_at(url: str) -> BaseSessionService:
    if url.startswith("redis"):
        return RedisSessionService(url)
    if url.startswith("mongodb"):
        return MongoSessionService(url)
    service = get_service_registry().create_session_service(url)
    assert service is not None, url
    return service


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(3, 60)))


def events(chance: random.Random, session: str, count: int, start: float) -> Iterator[Event]:
    for number in range(count):
        kind = number % 4
        parts = [
            types.Part(text=text(chance)),
            types.Part(function_call=types.FunctionCall(id=f"c{number}", name="find", args={"about": text(chance)})),
            types.Part(function_response=types.FunctionResponse(id=f"c{number}", name="find", response={"n": number})),
            types.Part(text=text(chance)),
        ]
        delta: dict[str, object] = {
            "turns": number,
            f"topic{number % 7}": chance.choice(WORDS),
            "ratio": chance.random(),
        }
        if kind == 3:
            delta |= {"user:last": f"{session} {number}", "app:orders": chance.randrange(2**60)}
        yield Event(
            id=f"{session}-{number}",
            invocation_id=f"i-{session}-{number // 4}",
            author="user" if kind == 0 else "shop_agent",
            timestamp=start + number * 1.25 + chance.random(),
            content=types.Content(role="user" if kind in (0, 2) else "model", parts=[parts[kind]]),
            actions=EventActions(state_delta=delta),
        )


def length(chance: random.Random, number: int, longest: int) -> int:
    if number == 7:
        return longest
    return chance.randint(200, 400) if number % 1000 == 0 else chance.randint(0, 12)


async def fill(service: BaseSessionService, app: str, sessions: int, longest: int) -> tuple[int, int]:
    chance = random.Random(app)
    stored = 0
    for number in range(sessions):
        name = f"session-{number:06d}"
        state = {"plan": chance.choice(["gold", "free"]), "visits": number, "user:seen": True}
        live = await service.create_session(
            app_name=app, user_id=f"user-{number // 20:05d}", session_id=name, state=state
        )
        for event in events(chance, name, length(chance, number, longest), START + number):
            await service.append_event(live, event)
            stored += 1
    return sessions, stored


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--app", default="shop")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--longest", type=int, default=5_000, help="events of the longest session")
    given = parser.parse_args()
    service = service_at(given.url)
    start = time.perf_counter()
    sessions, stored = await fill(service, given.app, given.sessions, given.longest)
    print(f"{sessions:,} sessions, {stored:,} events, {time.perf_counter() - start:.1f} s")
    if hasattr(service, "close"):
        await service.close()


if __name__ == "__main__":
    asyncio.run(main())
