"""What every contract has: its tests run on asyncio."""

from __future__ import annotations

import pytest


@pytest.mark.anyio
class Contract:
    """Asynchronous tests of the fixture `session_service`, which a subclass supplies."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """ADK runs on asyncio only."""
        return "asyncio"
