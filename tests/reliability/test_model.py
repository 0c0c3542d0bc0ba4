"""Random sequences of all operations, compared after every step with a plain model (tests/session_model.py).

Always the same ones, so that a run means something. ADK_EXTRA_SESSIONS_EXAMPLES=2000
runs as many, longer and each time others; a failure prints how to repeat it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from support.managed_machine import ManagedMachine
from support.session_machine import PIECE, Machine

from adk_extra_sessions import SessionStore, appends, listing, pruning
from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.redis import session_queries
from adk_extra_sessions.history import event_cache, loading

EXAMPLES = int(os.environ.get("ADK_EXTRA_SESSIONS_EXAMPLES", 0))

if EXAMPLES:
    RUN = settings(max_examples=EXAMPLES, stateful_step_count=60, print_blob=True)
else:
    RUN = settings(max_examples=8, stateful_step_count=40, derandomize=True, database=None)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, pages and pieces of a few events, so that a short run meets many of them."""
    monkeypatch.setattr(appends, "REQUEST_EVENTS", PIECE)
    monkeypatch.setattr(limits, "KEPT_EVENTS", PIECE)
    monkeypatch.setattr(limits, "TAIL_EVENTS", 2 * PIECE)
    monkeypatch.setattr(limits, "TAIL_BYTES", 4000)
    monkeypatch.setattr(limits, "BODY_BYTES", 1200)
    monkeypatch.setattr(limits, "PATHS", 1)
    monkeypatch.setattr(session_queries, "USERS", 2)
    monkeypatch.setattr(listing, "AT_ONCE", 2)
    monkeypatch.setattr(pruning, "PAGE", 2)
    monkeypatch.setattr(event_cache, "OVERLAP", 2)
    monkeypatch.setattr(event_cache, "AT_ONCE", 4)
    monkeypatch.setattr(loading, "MORE", 2)


ONE_SERVER_OF_EACH_DATABASE = pytest.mark.not_on("rediscluster", "replicaset")

CASES: dict[str, list[dict[str, Any]]] = {
    "kept": [{}, {}],
    "ttl": [{"ttl": "30d"}, {"ttl": "30d"}],
    "cache": [{"cache": "1MB"}, {"cache": "1MB"}, {"cache": "4KB"}, {}],
    "history": [{"history": "compacted"}, {"history": 5}, {"history": 2}, {}],
}
"""Options of the stores on one storage: a strict one, a lenient one, and others that only read."""


@pytest.mark.parametrize(
    "case",
    ["kept", "ttl", *(pytest.param(one, marks=ONE_SERVER_OF_EACH_DATABASE) for one in ("cache", "history"))],
)
def test_every_sequence_of_operations_does_what_the_model_does(
    make_store: Callable[..., SessionStore], case: str
) -> None:
    strict, lenient, *others = CASES[case]
    stores = [make_store(**strict), make_store(**lenient, on_stale="append"), *(make_store(**one) for one in others)]
    kind = ManagedMachine if isinstance(stores[0].backend, Managed) else Machine
    run_state_machine_as_test(
        lambda: kind(stores[0], stores[1], stores),
        settings=settings(RUN, deadline=None, suppress_health_check=list(HealthCheck)),
    )
