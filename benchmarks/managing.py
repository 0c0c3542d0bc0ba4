"""Managing very many sessions: pages, counts, pruning and erasure, compared with a plain list kept beside them."""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from adk_extra_sessions import MongoSessionStore, RedisSessionStore
from adk_extra_sessions.backends.mongodb import documents
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.details import SessionDetails
from adk_extra_sessions.records import NewSession, SessionKey
from adk_extra_sessions.state import StateTexts
from adk_extra_sessions.store import SessionStore
from benchmarks.budgets import Result, ms
from benchmarks.measure import progress
from benchmarks.workload import APP, event

MANY, OTHERS = 10_000, 50_000
STATE = StateTexts({"plan": '"gold"'})
PAGE = 20


def managing(store: SessionStore, backend: str) -> list[Result]:
    """Fills a store with sessions of one user and of others, manages them, and checks every answer.

    Raises:
        AssertionError: An answer differs from the plain list.
    """
    plain = {key.session_id: key for key in _filled(store, "many", MANY)}
    _filled(store, "few", PAGE)
    _filled(store, None, OTHERS)
    assert store.count_sessions(app_name=APP, user_id="many") == MANY
    assert store.count_sessions(app_name=APP) == MANY + PAGE + OTHERS
    page, few = (_median(lambda user=user: _page(store, user)) for user in ("many", "few"))
    start = time.perf_counter()
    assert len(store.list_sessions(app_name=APP, user_id="many").sessions) == MANY
    whole = time.perf_counter() - start
    _pages_while_written_to(store, set(plain))
    pruned = _pruned(store, set(plain))
    erased = _erased(store, MANY - pruned)
    detail = f"{ms(page)} / {ms(few)}; the whole list takes {ms(whole)}"
    return [
        Result(backend, f"{PAGE} newest of {MANY:,} sessions / of {PAGE}", page / few, 1.5, detail=detail),
        Result(backend, f"seconds to erase a user with {MANY - pruned:,} sessions", erased, 60.0),
    ]


def _filled(store: SessionStore, user: str | None, count: int) -> list[SessionKey]:
    """Stores sessions of a user, or with None of users with ten each; the first is the oldest."""
    progress(f"{count:,} sessions of {user or 'others'}")
    keys = [SessionKey(APP, user or f"other-{number // 10}", uuid.uuid4().hex) for number in range(count)]
    new = [
        NewSession(
            key,
            time.time_ns() // 1000,
            uuid.uuid4().hex,
            STATE,
            SessionDetails(create_time=1_000_000.0 + number),
        )
        for number, key in enumerate(keys)
    ]
    for start in range(0, count, 5000):
        batch = new[start : start + 5000]
        if isinstance(store, MongoSessionStore):
            store.ensure_indexes()
            dates = store.backend.expiry.expires_at(), store.backend.expiry.chunks_expire_at()
            store.backend.sessions.insert_many([documents.new_session(one, *dates, []) for one in batch], ordered=False)
        elif isinstance(store, RedisSessionStore):
            scripts.run_many(store.client, [store.backend.lifecycle.create_call(one) for one in batch])
    return keys


def _page(store: SessionStore, user: str, token: str | None = None) -> Any:
    return store.list_sessions(
        app_name=APP, user_id=user, page_size=PAGE, page_token=token, order_by="update_time desc"
    )


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(60):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _pages_while_written_to(store: SessionStore, ids: set[str]) -> None:
    """Pages through a user's sessions while others write: those that stand still come once each."""
    progress("pages while others write")
    moving = set(sorted(ids)[::100])
    done = threading.Event()
    writer = threading.Thread(target=_write, args=(store, sorted(moving), done))
    writer.start()
    met: list[str] = []
    token = None
    try:
        while True:
            page = _page(store, "many", token)
            met += [one.id for one in page.sessions if one.id not in moving]
            token = page.next_page_token
            if token is None:
                break
    finally:
        done.set()
        writer.join()
    assert sorted(met) == sorted(ids - moving), (len(met), len(ids - moving))


def _write(store: SessionStore, ids: list[str], done: threading.Event) -> None:
    while not done.is_set():
        for one in ids:
            found = store.get_session(app_name=APP, user_id="many", session_id=one)
            if found is not None and not done.is_set():
                store.append_event(found, event())


def _pruned(store: SessionStore, ids: set[str]) -> int:
    """Prunes by number and by age, first without deleting anything; returns how many sessions of the user are gone."""
    progress("pruning")
    names = {"app_name": APP, "user_id": "many"}
    would = store.prune_sessions(**names, keep_last=6000, dry_run=True)
    assert would.deleted == len(ids) - 6000 and store.count_sessions(**names) == len(ids)
    assert store.prune_sessions(**names, keep_last=6000).deleted == would.deleted
    assert store.count_sessions(**names) == 6000
    left = sorted(one.last_update_time for one in store.list_sessions(**names).sessions)
    middle = left[1000]
    assert store.prune_sessions(**names, before=middle).deleted == sum(one < middle for one in left)
    return len(ids) - store.count_sessions(**names)


def _erased(store: SessionStore, left: int) -> float:
    progress("erasure")
    receipt = store.delete_user(app_name=APP, user_id="many")
    assert receipt.sessions == left, attrs.asdict(receipt)
    assert store.count_sessions(app_name=APP) == PAGE + OTHERS
    assert store.delete_user(app_name=APP, user_id="many").records == 0
    app = store.delete_app(app_name=APP)
    assert app.sessions == PAGE + OTHERS and store.count_sessions(app_name=APP) == 0
    return receipt.seconds
