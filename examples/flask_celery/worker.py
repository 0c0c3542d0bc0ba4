"""A Celery task that writes into a conversation.

    celery --workdir examples/flask_celery -A worker worker --concurrency 4

Celery's default pool forks worker processes. Create the store in each of them, after the fork: connections must not be
shared between processes.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown
from google.adk.events import Event, EventActions
from google.genai import types

from adk_extra_sessions import RedisSessionStore, SessionBusyError

APP = "shop"
URL = os.environ.get("SESSIONS_URL", "redis://localhost:6379")

celery = Celery("worker", broker=os.environ.get("BROKER_URL", "redis://localhost:6379/1"))

_store: RedisSessionStore | None = None


@worker_process_init.connect
def open_store(**_: Any) -> None:
    """Creates the store of this worker process."""
    global _store
    _store = RedisSessionStore(URL)


@worker_process_shutdown.connect
def close_store(**_: Any) -> None:
    """Closes the store of this worker process."""
    if _store is not None:
        _store.close()


# If the session is busy, Celery retries the task later, so that a worker never waits for long.
@celery.task(autoretry_for=(SessionBusyError,), retry_backoff=True, max_retries=10)
def ship(user_id: str, session_id: str, item: str) -> None:
    """Adds to the conversation that an item was shipped."""
    assert _store is not None
    names = {"app_name": APP, "user_id": user_id, "session_id": session_id}
    with _store.turn(**names, wait=5):
        session = _store.get_session(**names)
        if session is None:
            return
        shipped = [*session.state.get("shipped", []), item]
        event = Event(
            author="shop",
            content=types.ModelContent(f"Your {item} is on its way."),
            actions=EventActions(state_delta={"shipped": shipped}),
        )
        _store.append_event(session, event)
