"""What ADK sends a model, built by ADK's own request processor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.events import Event
from google.adk.flows.llm_flows import contents
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.sessions import InMemorySessionService, Session

_service = InMemorySessionService()


class Silent(BaseLlm):
    """A model that is never asked."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        return
        yield


def sent(
    events: Sequence[Event],
    agent: str = "root",
    *,
    branch: str | None = None,
    scope: str | None = None,
    contents_of: str = "default",
) -> Any:
    """Returns the contents that an agent's model gets, or why ADK makes no request.

    Args:
        events: The session's history.
        agent: The agent's name.
        branch: The branch that it runs on.
        scope: The isolation scope that it runs in.
        contents_of: The agent's `include_contents`.
    """
    context = InvocationContext(
        session_service=_service,
        invocation_id="now",
        agent=_agent(agent, contents_of),
        session=Session(id="s", app_name="app", user_id="user", events=list(events)),
        branch=branch,
        isolation_scope=scope,
    )
    request = LlmRequest()

    async def build() -> None:
        async for _ in contents.request_processor.run_async(context, request):
            pass

    try:
        asyncio.run(build())
    except ValueError as error:
        if "function call" not in str(error):
            raise
        return "refused"  # google-adk before 2.13 does so where a response stands without its call
    return [content.model_dump(exclude_none=True) for content in request.contents]


_agents: dict[tuple[str, str], LlmAgent] = {}


def _agent(name: str, contents_of: Any) -> LlmAgent:
    if (name, contents_of) not in _agents:
        _agents[name, contents_of] = LlmAgent(name=name, model=Silent(model="silent"), include_contents=contents_of)
    return _agents[name, contents_of]
