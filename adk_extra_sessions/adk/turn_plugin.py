"""An ADK plugin that lets a Runner take turns, for `adk web`, `adk api_server` and `get_fast_api_app`."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, TypeVar

from google.adk.agents.invocation_context import InvocationContext
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from adk_extra_sessions.adk.private import set_storage_marker, storage_marker
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns import queue
from adk_extra_sessions.turns.holding import WAIT, holding_async, seconds, turn_around

T = TypeVar("T")


class TurnPlugin(BasePlugin):
    """Lets only one run at a time work on a session, across tasks, processes and machines.

    A run that starts during another one waits for its end, loads what it has
    stored, and continues. Give the plugin to an `App`, or to ADK's command line:

        App(name="shop", root_agent=agent, plugins=[TurnPlugin()])
        adk api_server agents --extra_plugins adk_extra_sessions.TurnPlugin

    With other session services than those of this package it does nothing.

    Args:
        name: The plugin's name; ADK's command line passes one.
        wait: How long a run waits for others to end, as for `SessionService.turn`.

    Raises:
        InputValidationError: `wait` is no duration.
    """

    def __init__(self, name: str = "adk_extra_sessions_turns", wait: float | timedelta | str | None = WAIT) -> None:
        super().__init__(name=name)
        self._wait = seconds(wait)
        self._held: dict[int, AsyncExitStack] = {}

    async def on_user_message_callback(
        self, *, invocation_context: InvocationContext, user_message: types.Content
    ) -> types.Content | None:
        """Takes the turn before the user's message is stored."""
        await self._enter(invocation_context)
        return None

    async def before_run_callback(self, *, invocation_context: InvocationContext) -> types.Content | None:
        """Takes the turn for a run that has no new message, such as one that is resumed."""
        await self._enter(invocation_context)
        return None

    async def after_run_callback(self, *, invocation_context: InvocationContext) -> None:
        """Gives the turn back."""
        await self._leave(invocation_context)

    async def on_run_error_callback(self, *, invocation_context: InvocationContext, error: Exception) -> None:
        """Gives the turn back after a run that failed."""
        await self._leave(invocation_context, error)

    async def _enter(self, context: InvocationContext) -> None:
        service = context.session_service
        if not isinstance(service, SessionService) or id(context) in self._held:
            return
        key = SessionKey.of(context.app_name, context.user_id, context.session.id)
        around = turn_around(service.store.turns, key)
        if around is None:
            turn = service._turn(key, self._wait, _Run(context).is_gone)
        elif turn_around(around.inner, key) is None:
            # The caller runs the agent inside a turn of its own; it may run it several times at once.
            turn = holding_async(_at_once, around.inner, key, self._wait, _Run(context).is_gone)
        else:
            return
        stack = AsyncExitStack()
        await stack.enter_async_context(turn)
        self._held[id(context)] = stack
        weakref.finalize(context, self._held.pop, id(context), None)
        try:
            await _bring_up_to_date(service, context)
        except BaseException as error:
            await self._leave(context, error)
            raise

    async def _leave(self, context: InvocationContext, error: BaseException | None = None) -> None:
        stack = self._held.pop(id(context), None)
        if stack is not None:
            await stack.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)


async def _at_once(call: Callable[..., T], **named: Any) -> T:
    return call(**named)


async def _bring_up_to_date(service: SessionService, context: InvocationContext) -> None:
    """Gives the live session what the runs before have stored since it was loaded."""
    session = context.session
    config = context.run_config.get_session_config if context.run_config else None
    names = {"app_name": session.app_name, "user_id": session.user_id, "session_id": session.id}
    stored = await service.get_session(**names, config=GetSessionConfig(num_recent_events=0))
    if stored is not None and storage_marker(stored) != storage_marker(session):
        stored = await service.get_session(**names, config=config)
        if stored is not None:
            session.events[:] = stored.events
    if stored is not None:  # else it was deleted: the append that follows raises SessionNotFoundError
        session.state.clear()
        session.state.update(stored.state)
        session.last_update_time = stored.last_update_time
        set_storage_marker(session, storage_marker(stored) or "")


class _Run:
    """Whether a run has ended without a call of its plugins, as a cancelled one does."""

    def __init__(self, context: InvocationContext) -> None:
        self._context = weakref.ref(context)
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._ended: float | None = None

    def is_gone(self) -> bool:
        """Returns whether the run cannot continue."""
        if self._context() is None or self._loop.is_closed():
            return True
        if self._task is None or not self._task.done():
            return False
        # Each step of a run may have a task of its own: the next one may be about to begin.
        self._ended = self._ended or time.monotonic()
        return time.monotonic() - self._ended > queue.LEASE
