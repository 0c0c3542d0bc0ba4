"""What a session service must do, as tests. Any service can be tested with them.

    import pytest
    from adk_extra_sessions.testing.contract import PagesContract, SessionServiceContract

    class TestMyService(SessionServiceContract, PagesContract):
        @pytest.fixture
        def session_service(self):
            return MySessionService(...)

The fixture must return a service without sessions and state for each test. The
tests are asynchronous and need nothing but pytest and anyio. If your service
breaks a rule on purpose, override that test, and mark it as a strict xfail with
the reason.

`SessionServiceContract` has the rules for ADK's own calls. The other contracts are
for calls that ADK does not have: `PagesContract`, `DetailsContract` (names and
labels), `ExpiryContract`, `PruningContract` and `ErasureContract`. Each also works
alone.
"""

from __future__ import annotations

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
    """The rules for ADK's own calls. Supply the fixture `session_service`."""
