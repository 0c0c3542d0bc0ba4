"""Holds a turn: `with` and `async with`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import anyio

from adk_extra_sessions.errors import (
    ClosedError,
    ConfigurationError,
    InputValidationError,
    SessionBusyError,
    TurnLostError,
)
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns.renewal import renewal
from adk_extra_sessions.turns.storage import TurnStorage
from adk_extra_sessions.turns.turn import Refused, Turn
from adk_extra_sessions.urls import milliseconds

WAIT = 30.0
"""Seconds to wait for a turn unless the caller says otherwise."""

NEXT_ASKS_AFTER = 0.03
"""Seconds after which the first in the queue asks again for the turn."""

OTHERS_ASK_AFTER = 0.2
"""Seconds after which the others in the queue ask again."""

_entered: ContextVar[tuple[Turn, ...]] = ContextVar("adk_extra_sessions_turns", default=())
"""The turns inside which the current code runs: tasks take over those of the task that starts them."""


@contextmanager
def holding(storage: TurnStorage, key: SessionKey, wait: float | None) -> Iterator[Turn]:
    """Holds the turn on a session, blocking the thread while it waits.

    Args:
        storage: Where turns are kept.
        key: The session; it need not exist yet.
        wait: Seconds to wait at most; None for no limit.

    Raises:
        SessionBusyError: Others had it all that time.
        InputValidationError: The caller has it already, or a task that could not give it back while this thread waits.
        TurnLostError: On leaving: somebody else may have had it meanwhile.
    """
    turn = Turn(storage, key, _current_task() or threading.current_thread())
    _refuse_inside_itself(turn)
    deadline = _deadline(wait)
    try:
        while (refused := turn.enter(stay=time.monotonic() < deadline)) is not None:
            pause = _pause(turn, refused, deadline)
            _refuse_to_block_holder(turn)
            time.sleep(pause)
        renewal.add(turn)
    except BaseException:
        renewal.discard(turn)
        turn.leave_after_error()
        raise
    try:
        with _inside(turn):
            yield turn
    except BaseException:
        if _stop_renewing(turn):
            turn.leave_after_error()
        raise
    if _stop_renewing(turn) and not turn.leave_quietly():
        raise TurnLostError(key.session_id, key.user_id)


@asynccontextmanager
async def holding_async(
    run: Callable[..., Awaitable[Any]],
    storage: TurnStorage,
    key: SessionKey,
    wait: float | None,
    abandoned: Callable[[], bool] | None = None,
) -> AsyncIterator[Turn]:
    """Holds the turn on a session; as `holding`, from an event loop.

    Args:
        run: Makes a blocking call in a worker thread and waits until it has ended, even when cancelled.
        storage: As for `holding`.
        key: As for `holding`.
        wait: As for `holding`.
        abandoned: Tells whether the holder is gone; None if the holder is the task that enters, together with
            the tasks that it starts.
    """
    task = asyncio.current_task()
    turn = Turn(storage, key, task, abandoned or _gone(task))
    _refuse_inside_itself(turn)
    deadline = _deadline(wait)
    try:
        while (refused := await run(turn.enter, stay=time.monotonic() < deadline)) is not None:
            await anyio.sleep(_pause(turn, refused, deadline))
        renewal.add(turn)
    except BaseException:
        renewal.discard(turn)
        await _leave(run, turn.leave_after_error)
        raise
    # The garbage collector ends an abandoned run inside the call that it interrupts, with that call's timeout.
    entered = copy_context()
    try:
        with _inside(turn) if abandoned is None else nullcontext():
            yield turn
    except BaseException:
        if _stop_renewing(turn):
            await _leave(run, partial(entered.run, turn.leave_after_error))
        raise
    if _stop_renewing(turn) and not await _leave(run, turn.leave_quietly):
        raise TurnLostError(key.session_id, key.user_id)


async def _leave(run: Callable[..., Awaitable[Any]], leave: Callable[[], bool | None]) -> bool:
    try:
        return bool(await run(leave))
    except ClosedError:  # the service takes no more calls, but its store may
        return bool(leave())


def turn_around(storage: TurnStorage, key: SessionKey) -> Turn | None:
    """Returns the turn on a session inside which the current code runs, if any.

    That is one that this task or thread holds, or one that held the task that started this one when it did.
    """
    entered, own = _entered.get(), _own_holders()
    found = [turn for turn in renewal.on(storage, key) if turn in entered or turn.holder in own]
    return found[0] if found else None


def _is_own(turn: Turn) -> bool:
    """Tells whether this task or thread itself has a turn."""
    return turn.holder in _own_holders()


def seconds(wait: object) -> float | None:
    """Returns how many seconds to wait for a turn; None for no limit.

    Raises:
        InputValidationError: `wait` is not a duration.
    """
    if wait is None:
        return None
    try:
        return milliseconds("wait", wait) / 1000
    except ConfigurationError as error:
        raise InputValidationError(str(error)) from None


def _stop_renewing(turn: Turn) -> bool:
    """Stops renewing a turn; returns False in a forked child, which must not give back what is its parent's."""
    return renewal.discard(turn) or turn.lost


def _refuse_inside_itself(turn: Turn) -> None:
    if any(map(_is_own, renewal.on(turn.storage, turn.key))):
        raise InputValidationError(f"{turn.key}: this task or thread has the turn on it already.")


def _refuse_to_block_holder(turn: Turn) -> None:
    """Refuses to block an event loop that must run for the turn to end: this would wait for itself."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # none runs in this thread
        return
    holders = [other.holder for other in renewal.on(turn.storage, turn.key)]
    if any(isinstance(one, asyncio.Task) and not one.done() and one.get_loop() is loop for one in holders):
        raise InputValidationError(
            f"{turn.key}: a task of this event loop has the turn on it, and cannot give it back while this call "
            "blocks the loop. Use `async with service.turn(...)`, or call this in a thread."
        )


def _own_holders() -> tuple[object, ...]:
    """Returns what this code's turns are held by: its task, and its thread if that entered before it ran a loop."""
    return _current_task(), threading.current_thread()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return None


@contextmanager
def _inside(turn: Turn) -> Iterator[None]:
    _entered.set((*_entered.get(), turn))
    try:
        yield
    finally:  # no reset: the turn may be left in another task than it was entered in
        _entered.set(tuple(one for one in _entered.get() if one is not turn))


def _gone(task: asyncio.Task[Any] | None) -> Callable[[], bool]:
    """Returns a function: whether a task has ended, or never will because its event loop is closed."""
    return lambda: task is not None and (task.done() or task.get_loop().is_closed())


def _deadline(wait: float | None) -> float:
    return float("inf") if wait is None else time.monotonic() + wait


def _pause(turn: Turn, refused: Refused, deadline: float) -> float:
    """Returns how long to sleep before asking again; raises `SessionBusyError` when the time is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        started_inside = turn_around(turn.storage, turn.key) is not None
        raise SessionBusyError(turn.key.session_id, turn.key.user_id, refused.held_for, started_inside)
    return min(left, NEXT_ASKS_AFTER if refused.is_next else OTHERS_ASK_AFTER)
