"""Random sequences of all operations, compared after every step with a plain model (tests/session_model.py).

Always the same ones, so that a run means something. ADK_EXTRA_SESSIONS_EXAMPLES=2000
runs as many, longer and each time others; a failure prints how to repeat it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from support.managed_machine import ManagedMachine
from support.session_machine import PIECE, Machine

from adk_extra_sessions import SessionStore, appends, listing, pruning
from adk_extra_sessions.backends.base import Managed
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.backends.redis import listing as redis_listing

EXAMPLES = int(os.environ.get("ADK_EXTRA_SESSIONS_EXAMPLES", 0))

if EXAMPLES:
    RUN = settings(max_examples=EXAMPLES, stateful_step_count=60, print_blob=True)
else:
    RUN = settings(max_examples=12, stateful_step_count=40, derandomize=True, database=None)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, pages and pieces of a few events, so that a short run meets many of them."""
    monkeypatch.setattr(appends, "REQUEST_EVENTS", PIECE)
    monkeypatch.setattr(limits, "KEPT_EVENTS", PIECE)
    monkeypatch.setattr(limits, "TAIL_EVENTS", 2 * PIECE)
    monkeypatch.setattr(limits, "TAIL_BYTES", 4000)
    monkeypatch.setattr(limits, "BODY_BYTES", 1200)
    monkeypatch.setattr(limits, "PATHS", 1)
    monkeypatch.setattr(redis_listing, "USERS", 2)
    monkeypatch.setattr(listing, "AT_ONCE", 2)
    monkeypatch.setattr(pruning, "PAGE", 2)


@pytest.mark.parametrize("ttl", [None, "30d"], ids=["kept", "ttl"])
def test_every_sequence_of_operations_does_what_the_model_does(
    make_store: Callable[..., SessionStore], ttl: str | None
) -> None:
    strict, lenient = make_store(ttl=ttl), make_store(ttl=ttl, on_stale="append")
    run_state_machine_as_test(
        lambda: (ManagedMachine if isinstance(strict.backend, Managed) else Machine)(strict, lenient),
        settings=settings(RUN, deadline=None, suppress_health_check=list(HealthCheck)),
    )
