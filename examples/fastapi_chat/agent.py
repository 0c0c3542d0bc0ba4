"""An agent that counts messages. It uses Gemini if GOOGLE_API_KEY is set, otherwise a scripted model."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types

# Without them, ADK logs a warning.
NO_TOKENS = types.GenerateContentResponseUsageMetadata(prompt_token_count=0, candidates_token_count=0)


class ScriptedModel(BaseLlm):
    """Answers word by word, like a model that streams."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yields the number of messages so far; if `stream` is set, word by word first."""
        count = sum(1 for content in llm_request.contents if content.role == "user")
        words = ["This", " is", " message", f" {count}."]
        if stream:
            for word in words:
                yield LlmResponse(content=types.ModelContent(word), partial=True)
        yield LlmResponse(content=types.ModelContent("".join(words)), usage_metadata=NO_TOKENS)


options: dict[str, Any] = {} if os.environ.get("GOOGLE_API_KEY") else {"model": ScriptedModel()}
root_agent = LlmAgent(name="counter", instruction="Say how many messages the user has sent.", **options)
