"""The contract of backends: both databases, their fakes, and a dictionary, whose store also keeps ADK's rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.managed_memory_backend import ManagedMemoryBackend
from support.memory_backend import MemoryBackend

from adk_extra_sessions import SessionService, SessionStore
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.testing.backend_contract import (
    BackendContract,
    CopyableContract,
    ErasableContract,
    ManagedContract,
    ReadsPartsContract,
    TakesTurnsContract,
)
from adk_extra_sessions.testing.contract import (
    DetailsContract,
    ErasureContract,
    ExpiryContract,
    PagesContract,
    PruningContract,
    SessionServiceContract,
)


class TestDatabases(
    BackendContract, ManagedContract, ErasableContract, CopyableContract, ReadsPartsContract, TakesTurnsContract
):
    """Redis and MongoDB, with all abilities."""

    @pytest.fixture
    def session_backend(self, store: SessionStore) -> Backend:
        return store.backend


def test_no_contract_hides_a_test_of_another() -> None:
    names = [name for cls in TestDatabases.__mro__ for name in vars(cls) if name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


class TestDictionary(BackendContract, CopyableContract, ReadsPartsContract, TakesTurnsContract):
    """What CONTRIBUTING.md says of a backend is enough to write one."""

    @pytest.fixture
    def session_backend(self) -> Backend:
        return MemoryBackend()


class TestManagedDictionary(BackendContract, ManagedContract, ErasableContract, CopyableContract, TakesTurnsContract):
    """The same with the abilities to manage sessions and to erase."""

    @pytest.fixture
    def session_backend(self) -> Backend:
        return ManagedMemoryBackend()


class TestServiceOverDictionary(SessionServiceContract):
    """A store over a backend that knows nothing of ADK has all of ADK's rules."""

    @pytest.fixture
    def session_service(self) -> Iterator[SessionService]:
        with SessionStore(MemoryBackend()) as store:
            yield SessionService(store)


class TestManagedServiceOverDictionary(
    SessionServiceContract, PagesContract, DetailsContract, ExpiryContract, PruningContract, ErasureContract
):
    """With a backend that has the abilities, sessions can be managed."""

    @pytest.fixture
    def session_service(self) -> Iterator[SessionService]:
        with SessionStore(ManagedMemoryBackend()) as store:
            yield SessionService(store)
