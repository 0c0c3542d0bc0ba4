"""All of MongoDB, and nothing else."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["mongomock", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """MongoDB only."""
    from conftest import BACKENDS

    if request.param not in BACKENDS:
        pytest.skip("ADK_EXTRA_SESSIONS_SERVERS=1 tests real servers")
    return str(request.param)
