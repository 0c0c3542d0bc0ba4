"""The agent of these examples: it turns text into upper case, and remembers what was said.

It uses Gemini if GOOGLE_API_KEY is set, otherwise a scripted model that needs no network.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import BaseSessionService, Session
from google.genai import types

# Fixed names, so that the next run continues the same conversation.
APP, USER, SESSION = "uppercase", "ada", "example"

QUESTION = "What did I say before?"

# Without them, ADK logs a warning.
NO_TOKENS = types.GenerateContentResponseUsageMetadata(prompt_token_count=0, candidates_token_count=0)


def to_upper_case(text: str) -> dict[str, str]:
    """Turns text into upper case."""
    return {"result": text.upper()}


class ScriptedModel(BaseLlm):
    """Answers by a fixed rule."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yields one answer to the contents of the request."""
        yield LlmResponse(content=types.ModelContent(_answer(llm_request.contents)), usage_metadata=NO_TOKENS)


def _answer(contents: Sequence[types.Content]) -> types.Part:
    last = (contents[-1].parts or [])[-1]
    if last.function_response and last.function_response.response:
        return types.Part(text=last.function_response.response["result"])
    if last.text != QUESTION:
        return types.Part.from_function_call(name="to_upper_case", args={"text": last.text})
    said = [part.text for content in contents if content.role == "user" for part in content.parts or []]
    return types.Part(text="You said: " + ", ".join(text for text in said if text and text != QUESTION) + ".")


def make_agent() -> LlmAgent:
    """Creates the agent, with Gemini or the scripted model."""
    on_gemini = bool(os.environ.get("GOOGLE_API_KEY"))
    options: dict[str, Any] = {} if on_gemini else {"model": ScriptedModel()}
    return LlmAgent(
        name="uppercase_agent",
        instruction=f"Turn what the user says into upper case, with your tool. But answer the question {QUESTION!r}.",
        tools=[to_upper_case],
        **options,
    )


async def open_session(service: BaseSessionService) -> Session:
    """Returns the conversation of an earlier run, or a new one."""
    found = await service.get_session(app_name=APP, user_id=USER, session_id=SESSION)
    return found or await service.create_session(app_name=APP, user_id=USER, session_id=SESSION)


async def say(service: BaseSessionService, message: str, state: dict[str, Any] | None = None) -> None:
    """Sends a message to the agent, with an optional change of the session's state, and prints the answer."""
    print("You:  ", message)
    runner = Runner(app_name=APP, agent=make_agent(), session_service=service)
    async for event in runner.run_async(
        user_id=USER, session_id=SESSION, new_message=types.UserContent(message), state_delta=state
    ):
        if event.is_final_response() and event.content and event.content.parts:
            print("Agent:", event.content.parts[0].text)
