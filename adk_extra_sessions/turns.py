"""One run at a time on a session: taking turns, across tasks, threads, processes and machines.

A turn is a lease in the database: renewed by a thread of this process while it
is held, and over some seconds after the process has died. The session's
revision guards what is written: whoever lost a turn without noticing cannot
write over what came after.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from attrs import define, field, frozen

from adk_extra_sessions import turn_queue
from adk_extra_sessions.codec import describe
from adk_extra_sessions.errors import ConfigurationError, InputValidationError, SessionBusyError, TurnLostError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turn_queue import TurnQueue
from adk_extra_sessions.urls import milliseconds

logger = logging.getLogger(__name__)

WAIT = 30.0
"""Seconds to wait for a turn unless the caller says otherwise."""

NEXT_ASKS_AFTER = 0.03
"""Seconds after which whoever is next looks again whether the turn is free."""

OTHERS_ASK_AFTER = 0.2
"""Seconds after which everybody else who waits looks again."""


class TurnStorage(ABC):
    """Where turns are kept: one text per session, changed by compare-and-swap."""

    driver_error: type[Exception]
    """The class of all errors of the driver."""

    @abstractmethod
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        """Returns the text, None if there is none, and the server's time in seconds."""

    @abstractmethod
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        """Replaces `old` by `new`, if `old` is still there; None is no text. Returns whether it was.

        A text that nobody touches for some leases may be removed.
        """


@frozen
class Refused:
    """Why a turn could not be had yet.

    Attributes:
        held_for: For how many seconds the turn has been held.
        is_next: Whether nobody else waits before.
    """

    held_for: float
    is_next: bool


@define(eq=False)
class Turn:
    """A turn on a session.

    Attributes:
        key: The session.
        holder: The task or thread that has it, or wants it.
        abandoned: Tells whether its holder is gone without having given it back.
        lost: Whether it is known to have been lost: it was not renewed in time and somebody else may have it.
    """

    storage: TurnStorage = field(repr=False)
    key: SessionKey
    holder: object = field(repr=False)
    abandoned: Callable[[], bool] = field(default=lambda: False, repr=False)
    lost: bool = False
    _token: str = field(factory=lambda: uuid.uuid4().hex, repr=False)

    def enter(self, *, stay: bool) -> Refused | None:
        """Takes the turn, or a place among those who wait; returns None once it has the turn."""
        while True:
            text, now = self.storage.read(self.key)
            queue = TurnQueue.loads(text)
            after = queue.entered(self._token, now, stay=stay)
            if after == queue or self.storage.swap(self.key, text, after.dumps()):
                break
        if after.holder == self._token:
            return None
        return Refused(after.held_for(now), bool(after.waiting) and after.waiting[0].token == self._token)

    def renew(self) -> None:
        """Keeps the turn, or notes that it is lost."""
        while not self.lost:
            text, now = self.storage.read(self.key)
            after = TurnQueue.loads(text).renewed_by(self._token, now)
            if after is None:
                self.lost = True
                logger.warning("%s: the turn was lost; it had not been renewed in time.", describe(self.key))
            elif self.storage.swap(self.key, text, after.dumps()):
                return

    def leave(self) -> bool:
        """Gives the turn, or the place among those who wait, back; returns whether it had the turn."""
        while True:
            text, _ = self.storage.read(self.key)
            queue = TurnQueue.loads(text)
            after = queue.left(self._token)
            if after == queue or self.storage.swap(self.key, text, after.dumps()):
                return queue.holder == self._token

    def leave_quietly(self) -> bool:
        """Leaves; when the server cannot be reached, the turn ends by itself some seconds later."""
        try:
            return self.leave()
        except self.storage.driver_error as error:
            logger.warning("%s: the turn could not be given back (%s).", describe(self.key), type(error).__name__)
            return not self.lost

    def start(self) -> None:
        """Has a thread renew the turn from now on."""
        _renewal.add(self)

    def stop(self) -> None:
        """Ends the renewal."""
        _renewal.discard(self)

    def refuse_inside_itself(self) -> None:
        """Raises if the caller holds a turn on the session already: it would wait for itself.

        Raises:
            InputValidationError: It does.
        """
        for turn in _renewal.turns():
            if turn.key == self.key and turn.storage == self.storage and turn.holder is self.holder:
                raise InputValidationError(f"{describe(self.key)}: this task or thread has the turn on it already.")

    def busy(self, refused: Refused) -> SessionBusyError:
        """Returns the error for somebody who will not wait any longer."""
        return SessionBusyError(self.key.session_id, self.key.user_id, refused.held_for)


@contextmanager
def holding(storage: TurnStorage, key: SessionKey, wait: float | None) -> Iterator[Turn]:
    """Holds the turn on a session; the blocking way.

    Args:
        storage: Where turns are kept.
        key: The session; it need not exist yet.
        wait: Seconds to wait at most; None for as long as it takes.

    Raises:
        SessionBusyError: Others had it all that time.
        InputValidationError: The caller holds it already.
        TurnLostError: At the end: somebody else has had it meanwhile.
    """
    turn = Turn(storage, key, threading.current_thread())
    turn.refuse_inside_itself()
    deadline = _deadline(wait)
    try:
        while (refused := turn.enter(stay=time.monotonic() < deadline)) is not None:
            time.sleep(_pause(turn, refused, deadline))
        turn.start()
    except BaseException:
        turn.leave_quietly()
        raise
    try:
        yield turn
    except BaseException:
        turn.stop()
        turn.leave_quietly()
        raise
    turn.stop()
    if not turn.leave_quietly():
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
        abandoned: Tells whether the holder is gone; None to look whether the task that entered is.
    """
    task = asyncio.current_task()
    turn = Turn(storage, key, task, abandoned or _gone(task))
    turn.refuse_inside_itself()
    deadline = _deadline(wait)
    try:
        while (refused := await run(turn.enter, stay=time.monotonic() < deadline)) is not None:
            await anyio.sleep(_pause(turn, refused, deadline))
        turn.start()
    except BaseException:
        await run(turn.leave_quietly)
        raise
    try:
        yield turn
    except BaseException:
        turn.stop()
        await run(turn.leave_quietly)
        raise
    turn.stop()
    if not await run(turn.leave_quietly):
        raise TurnLostError(key.session_id, key.user_id)


def seconds(wait: object) -> float | None:
    """Returns how long to wait for a turn; None for as long as it takes.

    Raises:
        InputValidationError: `wait` is no duration.
    """
    if wait is None:
        return None
    try:
        return milliseconds("wait", wait) / 1000
    except ConfigurationError as error:
        raise InputValidationError(str(error)) from None


def _gone(task: asyncio.Task[Any] | None) -> Callable[[], bool]:
    """Returns what tells whether a task has ended, or can never go on since its event loop was closed."""
    return lambda: task is not None and (task.done() or task.get_loop().is_closed())


def _deadline(wait: float | None) -> float:
    return float("inf") if wait is None else time.monotonic() + wait


def _pause(turn: Turn, refused: Refused, deadline: float) -> float:
    """Returns for how long to sleep before the next look; raises when the time is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise turn.busy(refused)
    return min(left, NEXT_ASKS_AFTER if refused.is_next else OTHERS_ASK_AFTER)


class _Renewal:
    """One thread that renews all turns that this process holds; it ends when there are none."""

    _turns: set[Turn]
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._turns = set()
        self._thread = None

    def add(self, turn: Turn) -> None:
        with self._lock:
            self._turns.add(turn)
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="adk-turns", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had
                    self._turns.discard(turn)
                    raise
                self._thread = thread

    def discard(self, turn: Turn) -> None:
        with self._lock:
            self._turns.discard(turn)
            if not self._turns:
                self._idle.set()

    def turns(self) -> list[Turn]:
        with self._lock:
            return list(self._turns)

    def _work(self) -> None:
        while True:
            self._idle.wait(turn_queue.LEASE / 3)
            with self._lock:
                self._idle.clear()
                turns = list(self._turns)
                if not turns:
                    self._thread = None
                    return
            for turn in turns:
                try:
                    if turn.abandoned():
                        turn.stop()
                        turn.leave()
                    else:
                        turn.renew()
                except turn.storage.driver_error as error:
                    logger.warning("%s: a turn could not be renewed (%s).", describe(turn.key), type(error).__name__)


_renewal = _Renewal()
# A child process has neither the thread nor its parent's turns, but maybe a held lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renewal.reset)
