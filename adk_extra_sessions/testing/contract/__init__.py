"""What a session service must do, as a pytest mixin with which any service can be tested.

    import pytest
    from adk_extra_sessions.testing.contract import SessionServiceContract

    class TestMyService(SessionServiceContract):
        @pytest.fixture
        def session_service(self):
            return MySessionService(...)

The tests are asynchronous and need nothing but pytest and anyio. Each has a
service of its own with empty storage. A rule that your service breaks on
purpose is best overridden with a strict xfail that says why.

What goes beyond ADK's calls is in contracts of its own, to be inherited as well
by the tests of a service that can do it: `PagesContract`, `DetailsContract`
(names and labels), `ExpiryContract`, `PruningContract` and `ErasureContract`.
"""

from __future__ import annotations

import pytest

from adk_extra_sessions.testing.contract.appending import AppendingContract
from adk_extra_sessions.testing.contract.creating import CreatingContract
from adk_extra_sessions.testing.contract.details import DetailsContract
from adk_extra_sessions.testing.contract.erasure import ErasureContract
from adk_extra_sessions.testing.contract.expiry import ExpiryContract
from adk_extra_sessions.testing.contract.listing import ListingContract
from adk_extra_sessions.testing.contract.names import NamesContract
from adk_extra_sessions.testing.contract.pages import PagesContract
from adk_extra_sessions.testing.contract.pruning import PruningContract
from adk_extra_sessions.testing.contract.reading import ReadingContract
from adk_extra_sessions.testing.contract.repeating import RepeatingContract
from adk_extra_sessions.testing.contract.sharing import SharingContract
from adk_extra_sessions.testing.contract.staleness import StalenessContract
from adk_extra_sessions.testing.contract.values import ValuesContract

__all__ = [
    "DetailsContract",
    "ErasureContract",
    "ExpiryContract",
    "PagesContract",
    "PruningContract",
    "SessionServiceContract",
]


@pytest.mark.anyio
class SessionServiceContract(
    CreatingContract,
    AppendingContract,
    RepeatingContract,
    StalenessContract,
    ReadingContract,
    ListingContract,
    SharingContract,
    NamesContract,
    ValuesContract,
):
    """The whole contract. Supply the fixture `session_service`."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """ADK runs on asyncio only."""
        return "asyncio"
