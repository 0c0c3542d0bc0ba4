"""Real agent runs on a scripted model: the same events and state as on ADK's in-memory service."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from google.adk.agents import Agent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.apps.app import App, EventsCompactionConfig
from google.adk.apps.llm_event_summarizer import LlmEventSummarizer
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, InMemorySessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.tools import ToolContext
from google.genai import types

from adk_extra_sessions.aio.service import SessionService

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

NAMES = {"user_id": "user", "session_id": "one"}


class ScriptedModel(BaseLlm):
    """Calls the first tool it is offered once a turn, then answers with what it was told."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        part = llm_request.contents[-1].parts[-1]  # type: ignore[index]
        if llm_request.tools_dict and part.function_response is None:
            call = types.FunctionCall(name=next(iter(llm_request.tools_dict)), args={"word": part.text or "none"})
            yield _response(types.Part(function_call=call, thought_signature=b"\x00\xffsigned"))
            return
        told = part.function_response.response if part.function_response else (part.text or "")[-60:]
        for word in ("so", "far"):
            yield _response(types.Part(text=word), partial=True)
        yield _response(types.Part(text=f"{len(llm_request.contents)} contents; {told}"))


def _response(part: types.Part, **more: Any) -> LlmResponse:
    return LlmResponse(content=types.Content(role="model", parts=[part]), **more)


def remember(word: str, tool_context: ToolContext) -> dict[str, Any]:
    """Keeps a word in every scope of state."""
    state = tool_context.state
    state["words"] = [*state.get("words", []), word]
    state["user:count"] = state.get("user:count", 0) + 1
    state["app:last"] = word
    state["temp:scratch"] = f"temporary {word}"
    return {"word": word.upper(), "nothing": None, "list": []}


def after(callback_context: CallbackContext) -> None:
    callback_context.state["seen_temp"] = callback_context.state.get("temp:scratch")


def app() -> App:
    model = ScriptedModel()

    def agent(name: str, **more: Any) -> Agent:
        return Agent(name=name, model=model, instruction=name, **more)

    root = SequentialAgent(
        name="root",
        sub_agents=[
            agent("worker", tools=[remember], output_key="worker_said", after_agent_callback=after),
            ParallelAgent(
                name="branches",
                sub_agents=[agent(f"branch{n}", output_key=f"branch{n}_said") for n in range(3)],
            ),
            LoopAgent(name="loop", max_iterations=2, sub_agents=[agent("looper", output_key="temp:loop_said")]),
        ],
    )
    compaction = EventsCompactionConfig(summarizer=LlmEventSummarizer(llm=model), compaction_interval=2, overlap_size=1)
    return App(name="the_app", root_agent=root, events_compaction_config=compaction)


async def conversation(service: BaseSessionService) -> tuple[list[str], dict[str, Any]]:
    """Four turns and a rewind; returns what is stored, in a form that can be compared."""
    runner = Runner(app=app(), session_service=service)
    await service.create_session(app_name="the_app", state={"start": True, "app:shared": [1]}, **NAMES)
    invocations: list[str] = []
    for text in ("first", "second", "third", "fourth"):
        message = types.Content(role="user", parts=[types.Part(text=text)])
        async for event in runner.run_async(new_message=message, **NAMES):
            if event.invocation_id not in invocations:
                invocations.append(event.invocation_id)
    await runner.rewind_async(rewind_before_invocation_id=invocations[2], **NAMES)
    message = types.Content(role="user", parts=[types.Part(text="fifth")])
    async for _ in runner.run_async(new_message=message, **NAMES):
        pass
    session = await service.get_session(app_name="the_app", **NAMES)
    assert session is not None
    known: dict[str, str] = {}
    return [_comparable(event.model_dump_json(), known) for event in session.events], session.state


def _comparable(text: str, known: dict[str, str]) -> str:
    """Puts numbers in the order of appearance for ids, and hides times."""
    text = re.sub(
        r"(?:adk-|e-)?[0-9a-f]{8}-[0-9a-f-]{27}", lambda found: known.setdefault(found[0], f"id{len(known)}"), text
    )
    return re.sub(r"\b1[0-9]{9}\.[0-9]+", "TIME", text)


def _sorted_branches(events: list[str]) -> list[str]:
    """Parallel branches may end in any order; what they say may not differ."""
    return sorted(re.sub(r'"id\d+"', '"id"', event) for event in events)


@pytest.mark.parametrize("options", [{}, {"cache": "1MB"}], ids=["plain", "cache"])
def test_a_multi_agent_run_is_the_same_as_in_memory(
    make_service: Callable[..., SessionService], options: dict[str, Any]
) -> None:
    service = make_service(**options)
    expected_events, expected_state = asyncio.run(conversation(InMemorySessionService()))
    events, state = asyncio.run(conversation(service))
    assert len(events) > 40
    assert any('"compaction":{' in event for event in events)
    assert any('"rewind_before_invocation_id":"' in event for event in events)
    assert _sorted_branches(events) == _sorted_branches(expected_events)
    temporary = {key for key in expected_state if key.startswith("temp:")}
    assert state == {key: value for key, value in expected_state.items() if key not in temporary}
    user_state = asyncio.run(service.get_user_state(app_name="the_app", user_id="user"))
    assert user_state == {key[5:]: value for key, value in expected_state.items() if key.startswith("user:")}
    assert state["words"] and state["seen_temp"] and not any("temp:" in event for event in events)
    names = {"app_name": "the_app", **NAMES}
    kept = asyncio.run(service.get_session(**names))
    assert kept is not None
    assert kept == asyncio.run(service.get_session(**names, config=GetSessionConfig())), "ADK changed an event"


def test_the_blocking_runner_makes_a_loop_for_every_call(service: SessionService) -> None:
    runner = Runner(app=app(), session_service=service)
    asyncio.run(service.create_session(app_name="the_app", **NAMES))
    said = []
    for text in ("first", "second", "third"):
        message = types.Content(role="user", parts=[types.Part(text=text)])
        events = list(runner.run(new_message=message, **NAMES))
        assert not [event.error_message for event in events if event.error_message]
        said.append(events[-1])
    session = asyncio.run(service.get_session(app_name="the_app", **NAMES))
    assert session is not None
    users = [event.content.parts[0].text for event in session.events if event.author == "user" and event.content]  # type: ignore[index]
    assert [text for text in users if text in ("first", "second", "third")] == ["first", "second", "third"]
    assert session.state["words"] == ["first", "second", "third"]


def test_a_second_service_goes_on_where_the_first_one_stopped(service: SessionService, make_service: Any) -> None:
    first = make_service()
    asyncio.run(first.create_session(app_name="the_app", **NAMES))
    message = types.Content(role="user", parts=[types.Part(text="first")])
    list(Runner(app=app(), session_service=first).run(new_message=message, **NAMES))
    asyncio.run(first.close())
    list(Runner(app=app(), session_service=service).run(new_message=message, **NAMES))
    session = asyncio.run(service.get_session(app_name="the_app", **NAMES))
    assert session is not None and session.state["words"] == ["first", "first"]
