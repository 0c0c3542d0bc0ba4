"""Long calls of a service: what happens between their pages."""

from __future__ import annotations

import asyncio

import pytest
from support.managed_memory_backend import ManagedMemoryBackend

from adk_extra_sessions import Pruned, SessionService, SessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def service() -> SessionService:
    store = SessionStore(ManagedMemoryBackend())
    for number in range(1000):
        store.create_session(app_name=APP, user_id=USER, session_id=str(number))
    return SessionService(store)


async def test_pruning_can_be_cancelled_between_pages(service: SessionService) -> None:
    met: list[Pruned] = []

    async def prune() -> None:
        await service.prune_sessions(app_name=APP, keep_last=0, progress=note)

    def note(so_far: Pruned) -> None:
        met.append(so_far)
        asyncio.get_running_loop()  # it is called where the caller is
        if len(met) == 3:
            task.cancel()

    task = asyncio.ensure_future(prune())
    with pytest.raises(asyncio.CancelledError):
        await task
    left = await service.count_sessions(app_name=APP)
    assert 0 < left < 1000
    assert left <= 1000 - met[-1].deleted


async def test_the_loop_goes_on_while_sessions_are_iterated_over(service: SessionService) -> None:
    met = []
    async for one in service.iter_sessions(app_name=APP, page_size=10):
        met.append(one.id)
        if len(met) == 25:
            break
    assert len(set(met)) == 25
    counts = await asyncio.gather(*(service.count_sessions(app_name=APP) for _ in range(5)))
    assert counts == [1000] * 5
