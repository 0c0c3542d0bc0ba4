"""Writers on MongoDB that are held between their messages, to try every interleaving of two of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from google.adk.sessions import Session
from pymongo import monitoring
from support.servers import MongoServer

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event


class Pause(monitoring.CommandListener):
    """Holds a client before one of its messages, until it is let go."""

    def __init__(self) -> None:
        self._left = -1
        self.held, self._go = threading.Event(), threading.Event()

    def hold(self, before: int) -> None:
        """Holds it before that message from now on; 0 is the next."""
        self._left, self.held, self._go = before, threading.Event(), threading.Event()

    def let_go(self) -> None:
        """Holds it no more."""
        self._left = -1
        self._go.set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._left -= 1
        if self._left == -1:
            self.held.set()
            assert self._go.wait(120)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...
    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class Writer:
    """A store of some ttl that can be held between its messages."""

    def __init__(
        self,
        server: MongoServer,
        ttl: str | None,
        db_name: str = "expiry",
        on_stale: Literal["raise", "append"] = "append",
    ) -> None:
        self.ttl = ttl
        self.pause = Pause()
        self.store = MongoSessionStore(
            server.url,
            db_name=db_name,
            ttl=ttl,
            on_stale=on_stale,
            event_listeners=[self.pause],
            timeoutMS=200_000,  # it is held up meanwhile
        )
        self.store.ensure_indexes()
        self.thread = threading.Thread()
        self.outcome: Any = None

    def begin(self, text: str, before: int, holder: Session | None = None) -> bool:
        """Begins an append; returns whether it is now held before that message, else it is done.

        Args:
            text: The event's.
            before: Which of its messages to hold it before; 0 is the first.
            holder: The live session; without one it appends at any revision.
        """
        session = holder or Session(id="one", app_name=APP, user_id=USER, last_update_time=time.time() + 60)
        self.outcome = None
        self.pause.hold(before)

        def append() -> None:
            (self.outcome,) = self.store.append_many([(session, an_event(text))])
            self.pause.held.set()

        self.thread = threading.Thread(target=append)
        self.thread.start()
        assert self.pause.held.wait(120)
        return self.thread.is_alive() and self.outcome is None

    def end(self) -> Any:
        """Lets it go on to the end; returns its event or error."""
        self.pause.let_go()
        self.thread.join(120)
        assert not self.thread.is_alive()
        return self.outcome


def interleaved(
    a: Writer, b: Writer, texts: tuple[str, str], holders: Callable[[], list[Session | None]]
) -> Iterator[str]:
    """Has A and B append at once: B comes while A is held before any message, and is held itself until A is done.

    Yields:
        Where they were held, when both are done.
    """
    at, a_goes_on = 0, True
    while a_goes_on:
        at_b, b_goes_on = 0, True
        while b_goes_on:
            of_a, of_b = holders()
            a_goes_on = a.begin(texts[0], at, of_a)
            b_goes_on = b.begin(texts[1], at_b, of_b)
            a.end()
            b.end()
            yield f"A before message {at}, B before message {at_b}"
            at_b += 1
        at += 1
    assert at > 3
