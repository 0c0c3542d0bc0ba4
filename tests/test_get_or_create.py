"""Two first messages at once: one session, made by whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.adk.agents import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.events import Event
from google.adk.runners import Runner
from google.genai import types
from support.managed_memory_backend import ManagedMemoryBackend
from typing_extensions import override

from adk_extra_sessions import AlreadyExistsError, SessionService, SessionStore
from adk_extra_sessions.records import NewSession, SessionKey, SessionRecord, Window
from adk_extra_sessions.state import SharedState
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}


class Overtaken(ManagedMemoryBackend):
    """Calls `meanwhile`, once, after a session was not found."""

    meanwhile: Callable[[], object] | None = None

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        found = super().read(key, window)
        if found is None and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return found


class Contested(ManagedMemoryBackend):
    """Others delete a session whenever it is read, and create it whenever it is not found."""

    new: NewSession | None = None

    @override
    def create(self, new: NewSession) -> SharedState | None:
        self.new = self.new or new
        return super().create(new)

    @override
    def read(self, key: SessionKey, window: Window) -> SessionRecord | None:
        self.delete(key)
        if self.new is not None:
            super().create(self.new)
        return None


def test_who_is_overtaken_again_and_again_gives_up() -> None:
    store = SessionStore(Contested())
    store.create_session(**NAMES)
    with pytest.raises(AlreadyExistsError, match="'one' is deleted and created again"):
        store.get_or_create_session(**NAMES)


def test_a_session_that_another_creates_meanwhile_is_read() -> None:
    backend = Overtaken()
    with SessionStore(backend) as store:

        def create() -> None:
            session = store.create_session(**NAMES, state={"by": "other"})
            store.append_event(session, an_event("hello"))

        backend.meanwhile = create
        found = store.get_or_create_session(**NAMES, state={"by": "me"}, labels={"by": "me"})
        assert (found.state, found.labels, texts(found)) == ({"by": "other"}, {}, ["hello"])


def test_a_session_that_is_deleted_meanwhile_is_created() -> None:
    class Deleted(ManagedMemoryBackend):
        creations = 0

        @override
        def create(self, new: NewSession) -> Any:
            self.creations += 1
            return None if self.creations == 1 else super().create(new)

    with SessionStore(Deleted()) as store:
        assert store.get_or_create_session(**NAMES, state={"by": "me"}).state == {"by": "me"}


class Echo(BaseAgent):
    """Says how many messages it has seen."""

    @override
    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncIterator[Event]:
        await asyncio.sleep(0)
        seen = sum(event.author == "user" for event in ctx.session.events)
        yield Event(
            author=self.name, invocation_id=ctx.invocation_id, content=types.Content(parts=[types.Part(text=str(seen))])
        )


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_first_messages_to_a_runner_follow_each_other_in_a_turn(service: SessionService) -> None:
    runner = Runner(agent=Echo(name="echo"), app_name=APP, session_service=service, auto_create_session=True)
    message = types.Content(role="user", parts=[types.Part(text="hello")])

    async def send() -> list[str | None]:
        async with service.turn(**NAMES):
            run = runner.run_async(user_id=USER, session_id="one", new_message=message)
            return [event.content.parts[0].text async for event in run if event.content and event.content.parts]

    answers = await asyncio.gather(send(), send(), send())
    assert sorted(answer[-1] or "" for answer in answers) == ["1", "2", "3"]
