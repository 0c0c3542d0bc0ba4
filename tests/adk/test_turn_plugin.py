"""The plugin that lets Runners take turns, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

import pytest
from google.adk.agents import BaseAgent, LlmAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.apps import App
from google.adk.events import Event, EventActions
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import InMemoryRunner, Runner
from google.adk.tools import ToolContext
from google.genai import types

from adk_extra_sessions import InputValidationError, SessionBusyError, TurnPlugin
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns import queue
from adk_extra_sessions.turns.renewal import renewal

pytestmark = pytest.mark.anyio

# An older ADK tells no plugin how a run ended; the turn then ends when nobody holds on to the run.
AT_ONCE = 0 if hasattr(BasePlugin, "on_run_error_callback") else 30

NAMES = {"app_name": "shop", "user_id": "ada", "session_id": "s1"}

KEY = SessionKey(**NAMES)


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


async def put(item: str, tool_context: ToolContext) -> dict[str, int]:
    """Puts an item into the cart."""
    cart = list(tool_context.state.get("cart", []))
    await asyncio.sleep(0.02)
    tool_context.state["cart"] = [*cart, item]
    return {"items": len(cart) + 1}


class CartModel(BaseLlm):
    """Puts what the user says into the cart."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        last = (llm_request.contents[-1].parts or [])[-1]
        if last.function_response:
            part = types.Part(text="It is in the cart.")
        else:
            part = types.Part.from_function_call(name="put", args={"item": last.text})
        yield LlmResponse(content=types.ModelContent(part))


class Slow(BaseAgent):
    """An agent without a model that takes its time, or fails."""

    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncGenerator[Event, None]:
        words = ctx.user_content.parts[0].text if ctx.user_content and ctx.user_content.parts else ""
        if words == "fail":
            raise ZeroDivisionError
        if words == "wait":
            await asyncio.sleep(60)
        seen = len(ctx.session.events)
        delta = {"turns": ctx.session.state.get("turns", 0) + 1}
        await asyncio.sleep(0.02)
        actions = EventActions(state_delta=delta)
        yield Event(author=self.name, content=types.ModelContent(f"{seen} before"), actions=actions)


def a_runner(service: Any, agent: BaseAgent, plugin: TurnPlugin | None = None) -> Runner:
    app = App(name="shop", root_agent=agent, plugins=[plugin or TurnPlugin()])
    return Runner(app=app, session_service=service)


async def say(runner: Runner, text: str) -> list[Event]:
    names = {"user_id": "ada", "session_id": "s1"}
    return [event async for event in runner.run_async(**names, new_message=types.UserContent(text))]


def started_by_others(run: Coroutine[Any, Any, list[Event]]) -> asyncio.Task[list[Event]]:
    """Starts a task that does not belong to the turn that the caller has."""
    return Context().run(asyncio.create_task, run)


async def has_begun(service: SessionService) -> bool:
    """Whether a run has stored the user's message, which it does inside its turn."""
    session = await service.get_session(**NAMES)
    return session is not None and bool(session.events)


async def cancel_when_begun(service: SessionService, run: asyncio.Task[list[Event]]) -> None:
    while not await has_begun(service):
        await asyncio.sleep(0.01)
        assert not run.done()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def take_turn(service: SessionService, wait: float) -> None:
    async with service.turn(**NAMES, wait=wait):
        pass


@pytest.mark.parametrize("agent", ["model", "custom"])
async def test_messages_at_once_follow_each_other(service: SessionService, agent: str) -> None:
    await service.create_session(**NAMES)
    made = LlmAgent(name="cart", model=CartModel(), tools=[put]) if agent == "model" else Slow(name="slow")
    runner = a_runner(service, made)
    await asyncio.gather(*(say(runner, f"item {number}") for number in range(6)))
    session = await service.get_session(**NAMES)
    assert session is not None
    if agent == "model":
        assert sorted(session.state["cart"]) == [f"item {number}" for number in range(6)]
        assert [event.author for event in session.events] == ["user", "cart", "cart", "cart"] * 6
    else:
        assert session.state["turns"] == 6
        assert [event.author for event in session.events] == ["user", "slow"] * 6


async def test_a_run_sees_what_was_stored_while_it_waited(service: SessionService) -> None:
    session = await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"))
    async with service.turn(**NAMES):
        waiting = started_by_others(say(runner, "hello"))
        await asyncio.sleep(0.3)
        event = Event(author="user", actions=EventActions(state_delta={"turns": 41, "user:name": "Ada"}))
        await service.append_event(session, event)
    (answer,) = await waiting
    assert answer.content is not None
    assert answer.content.parts == [types.Part(text="2 before")]
    assert answer.actions.state_delta == {"turns": 42}


async def test_a_run_that_fails_gives_the_turn_back(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LEASE", 1.5)
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"))
    with pytest.raises(ZeroDivisionError):
        await say(runner, "fail")
    await asyncio.create_task(take_turn(service, AT_ONCE))


@pytest.mark.slow
async def test_a_cancelled_run_gives_the_turn_back_within_a_lease(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LEASE", 1.5)
    await service.create_session(**NAMES)
    await cancel_when_begun(service, asyncio.create_task(say(a_runner(service, Slow(name="slow")), "wait")))
    async with service.turn(**NAMES, wait=60):
        pass


async def test_a_run_whose_caller_stops_listening_gives_the_turn_back(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LEASE", 1.5)
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"))
    events = runner.run_async(user_id="ada", session_id="s1", new_message=types.UserContent("hello"))
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    await asyncio.create_task(take_turn(service, AT_ONCE))


async def test_each_step_may_have_a_task_of_its_own(service: SessionService) -> None:
    await service.create_session(**NAMES)
    events = a_runner(service, Slow(name="slow")).run_async(
        user_id="ada", session_id="s1", new_message=types.UserContent("hello")
    )
    await asyncio.create_task(anext(events))  # type: ignore[arg-type]
    (turn,) = renewal.on(service.store.turns, KEY)
    await asyncio.to_thread(renewal._renew, turn)  # as the thread that renews turns does every few seconds
    with pytest.raises(SessionBusyError):
        async with service.turn(**NAMES, wait=0):
            pass
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    async with service.turn(**NAMES, wait=0):
        pass


def test_runs_in_loops_of_their_own_follow_each_other(service: SessionService) -> None:
    service.store.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"))
    for _ in range(3):
        list(runner.run(user_id="ada", session_id="s1", new_message=types.UserContent("hello")))
    with service.store.turn(**NAMES, wait=0):
        session = service.store.get_session(**NAMES)
    assert session is not None
    assert session.state["turns"] == 3


async def test_who_will_not_wait_is_told(service: SessionService) -> None:
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"), TurnPlugin(wait=0))
    async with service.turn(**NAMES):
        with pytest.raises(RuntimeError) as caught:
            await started_by_others(say(runner, "hello"))
    assert isinstance(caught.value.__cause__, SessionBusyError)
    session = await service.get_session(**NAMES)
    assert session is not None
    assert session.events == []


async def test_a_run_inside_a_turn_of_its_caller_needs_no_other(service: SessionService) -> None:
    await service.create_session(**NAMES)
    async with service.turn(**NAMES):
        (answer,) = await say(a_runner(service, Slow(name="slow")), "hello")
    assert answer.author == "slow"


@pytest.mark.parametrize(
    "start", [asyncio.create_task, lambda run: asyncio.wait_for(run, 60)], ids=["task", "wait_for"]
)
async def test_a_run_in_a_task_of_its_own_needs_no_other_turn_than_its_callers(
    service: SessionService, start: Callable[[Any], Awaitable[list[Event]]]
) -> None:
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"), TurnPlugin(wait=0))
    async with service.turn(**NAMES):
        (answer,) = await start(say(runner, "hello"))
    assert answer.author == "slow"


def test_a_run_in_a_loop_of_its_own_needs_no_other_turn_than_its_threads(service: SessionService) -> None:
    service.store.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"), TurnPlugin(wait=0))
    with service.store.turn(**NAMES):
        (answer,) = asyncio.run(say(runner, "hello"))
    assert answer.author == "slow"


async def test_runs_at_once_inside_one_turn_follow_each_other(service: SessionService) -> None:
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"))
    async with service.turn(**NAMES):
        await asyncio.gather(*(say(runner, f"item {number}") for number in range(4)))
    session = await service.get_session(**NAMES)
    assert session is not None
    assert session.state["turns"] == 4


async def test_a_run_that_was_stopped_inside_a_turn_holds_up_no_other_in_it(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LEASE", 1.5)
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"))
    async with service.turn(**NAMES):
        await cancel_when_begun(service, asyncio.create_task(say(runner, "wait")))
        (answer,) = await asyncio.create_task(say(runner, "hello"))
    assert answer.author == "slow"


async def test_a_task_that_outlives_the_turn_it_was_started_in_waits_for_the_next_one(service: SessionService) -> None:
    await service.create_session(**NAMES)
    runner = a_runner(service, Slow(name="slow"), TurnPlugin(wait=0))
    over = asyncio.Event()

    async def later() -> list[Event]:
        await over.wait()
        return await say(runner, "hello")

    async with service.turn(**NAMES):
        run = asyncio.create_task(later())
    async with service.turn(**NAMES):
        over.set()
        with pytest.raises(RuntimeError) as caught:
            await run
    assert isinstance(caught.value.__cause__, SessionBusyError)


async def test_with_a_service_of_adk_it_does_nothing() -> None:
    app = App(name="shop", root_agent=Slow(name="slow"), plugins=[TurnPlugin()])
    runner = InMemoryRunner(app=app)
    await runner.session_service.create_session(**NAMES)
    (answer,) = await say(runner, "hello")
    assert answer.author == "slow"


def test_a_wrong_wait_is_refused() -> None:
    with pytest.raises(InputValidationError, match="wait must be a duration"):
        TurnPlugin(wait="soon")
