"""What a backend must do, as a pytest mixin: each method of `adk_extra_sessions.backends.base`.

    import pytest
    from adk_extra_sessions.testing.backend_contract import BackendContract

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def session_backend(self):
            return MyBackend(...)

Each test has a backend of its own with empty storage. `CopyableContract`,
`ErasableContract`, `ManagedContract`, `ReadsPartsContract` and `TakesTurnsContract` hold the abilities of these
names. The rules that a store adds, `adk_extra_sessions.testing.contract` tests.
"""

from __future__ import annotations

from adk_extra_sessions.testing.backend_contract.appending import AppendVerb
from adk_extra_sessions.testing.backend_contract.copying import CopyableContract
from adk_extra_sessions.testing.backend_contract.creating import CreateVerb
from adk_extra_sessions.testing.backend_contract.erasing import ErasableContract
from adk_extra_sessions.testing.backend_contract.listing import ListVerb
from adk_extra_sessions.testing.backend_contract.managing import ManagedContract
from adk_extra_sessions.testing.backend_contract.parts import ReadsPartsContract
from adk_extra_sessions.testing.backend_contract.reading import ReadVerbs
from adk_extra_sessions.testing.backend_contract.turns import TakesTurnsContract

__all__ = [
    "BackendContract",
    "CopyableContract",
    "ErasableContract",
    "ManagedContract",
    "ReadsPartsContract",
    "TakesTurnsContract",
]


class BackendContract(CreateVerb, AppendVerb, ReadVerbs, ListVerb):
    """What every backend must do. Supply the fixture `session_backend`."""
