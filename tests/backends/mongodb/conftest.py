"""All of MongoDB, and nothing else."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["mongomock", "mongod", "replicaset"])
def backend(request: pytest.FixtureRequest) -> str:
    """MongoDB only."""
    return str(request.param)
