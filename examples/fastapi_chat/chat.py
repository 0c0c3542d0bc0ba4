"""A chat service: answers are streamed, a second message to a session waits for the first, and health can be checked.

    uvicorn --app-dir examples/fastapi_chat chat:app
    curl -N localhost:8000/chat/ada/s1 -H 'content-type: application/json' -d '{"text": "Hello!"}'

Set SESSIONS_URL to use a server, such as redis://localhost:6379?ttl=30d or mongodb://localhost:27017/chat; without it,
an in-process fake is used. The agent uses Gemini if GOOGLE_API_KEY is set, otherwise a scripted model.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from agent import root_agent
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import Runner
from google.genai import types
from pydantic import BaseModel

from adk_extra_sessions import (
    MongoSessionService,
    RedisSessionService,
    SessionBusyError,
    SessionService,
    StaleSessionError,
)

APP = "chat"
STREAMING = RunConfig(streaming_mode=StreamingMode.SSE)


class Message(BaseModel):
    """A message of a user."""

    text: str


def make_service(url: str) -> SessionService:
    """Creates the session service for a URL."""
    return MongoSessionService(url) if url.startswith("mongo") else RedisSessionService(url)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Creates one service for the whole application, and closes it at the end."""
    async with make_service(os.environ.get("SESSIONS_URL") or "fakeredis://chat") as service:
        app.state.service = service
        app.state.runner = Runner(app_name=APP, agent=root_agent, session_service=service, auto_create_session=True)
        yield


app = FastAPI(title="Chat", lifespan=lifespan)


@app.post("/chat/{user_id}/{session_id}")
async def chat(request: Request, user_id: str, session_id: str, message: Message) -> StreamingResponse:
    """Streams the answer to a message as server-sent events."""
    service, runner = request.app.state.service, request.app.state.runner
    turn = AsyncExitStack()
    # Entered before the response starts, so that a busy session can still be answered with status 409.
    await turn.enter_async_context(service.turn(app_name=APP, user_id=user_id, session_id=session_id, wait=30))

    async def answer() -> AsyncIterator[str]:
        async with turn:
            said = types.UserContent(message.text)
            async for event in runner.run_async(
                user_id=user_id, session_id=session_id, new_message=said, run_config=STREAMING
            ):
                yield f"data: {event.model_dump_json(exclude_none=True, by_alias=True)}\n\n"

    return StreamingResponse(answer(), media_type="text/event-stream")


@app.get("/chat/{user_id}/{session_id}")
async def history(request: Request, user_id: str, session_id: str) -> list[dict[str, str]]:
    """Returns who said what."""
    session = await request.app.state.service.get_session(app_name=APP, user_id=user_id, session_id=session_id)
    events = session.events if session else []
    return [
        {"author": event.author, "text": part.text}
        for event in events
        for part in (event.content.parts if event.content else None) or []
        if part.text
    ]


@app.get("/health")
async def health(request: Request) -> JSONResponse:
    """Reports whether the database answers."""
    try:
        await request.app.state.service.ping()
    except Exception as error:  # whatever the cause, this process cannot answer messages
        return JSONResponse({"sessions": type(error).__name__}, status_code=503)
    return JSONResponse({"sessions": "ok"})


@app.exception_handler(SessionBusyError)
async def busy(request: Request, error: SessionBusyError) -> JSONResponse:
    """Responds to a message that has waited too long for the one before it."""
    return JSONResponse({"detail": str(error)}, status_code=409, headers={"Retry-After": "5"})


@app.exception_handler(StaleSessionError)
async def stale(request: Request, error: StaleSessionError) -> JSONResponse:
    """Responds if something else wrote to the session without taking the turn."""
    return JSONResponse({"detail": str(error)}, status_code=409)
