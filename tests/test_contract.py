"""The contract, held by both services and both stores on every backend, and by ADK's own service."""

from __future__ import annotations

import pytest
from google.adk.sessions import InMemorySessionService
from google.adk.version import __version__ as adk_version
from support.direct import Direct

from adk_extra_sessions import RedisSessionService
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.testing.contract import (
    DetailsContract,
    ErasureContract,
    ExpiryContract,
    PagesContract,
    PruningContract,
    SessionServiceContract,
)

ADK_VERSION = tuple(int(part) for part in adk_version.split(".")[:2])


class TestServices(
    SessionServiceContract, PagesContract, DetailsContract, ExpiryContract, PruningContract, ErasureContract
):
    """Both async services on every backend."""

    @pytest.fixture
    def session_service(self, service: SessionService) -> SessionService:
        return service


def test_no_contract_hides_a_test_of_another() -> None:
    names = [name for cls in TestServices.__mro__ for name in vars(cls) if name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


class TestOneContractAlone(ErasureContract):
    """A service need not have every ability: each contract runs without the others."""

    @pytest.fixture
    def session_service(self, redis_session_service: RedisSessionService) -> RedisSessionService:
        return redis_session_service


@pytest.mark.slow
@pytest.mark.not_on("rediscluster", "replicaset")  # the services have the same stores there
class TestStores(SessionServiceContract):
    """Both blocking stores."""

    @pytest.fixture
    def session_service(self, store: SessionStore) -> Direct:
        return Direct(store)


ADK_IN_MEMORY_DIFFERS = {
    "test_a_failed_append_leaves_everything_as_it_was": "keeps any object; nothing can fail",
    "test_state_without_a_json_form_is_refused": "keeps any object",
    "test_what_pydantic_turns_into_json_is_stored_so": "keeps the objects themselves",
    "test_what_is_no_text_is_no_name[int]": "takes any hashable as a name",
    "test_what_is_no_text_is_no_name[bytes]": "takes any hashable as a name",
    "test_filters_are_exact[backward]": "stops at the first older event, also where the clock went back",
    "test_a_stale_session_is_refused": "has no revisions: an outdated session may append",
    "test_reloading_makes_up_for_it": "has no revisions",
    "test_older_clocks_do_not_hide_staleness": "has no revisions",
    "test_a_session_built_by_hand_is_refused_only_if_older": "has no revisions",
    "test_a_holder_of_a_deleted_session_cannot_write_to_its_successor": "has no revisions",
    "test_initial_state_goes_to_its_scope": "drops temp: keys of the initial state",
    "test_the_given_state_is_not_shared": "keeps the caller's own objects as state",
}
"""What google-adk's in-memory service does otherwise, and why; a strict list."""


@pytest.mark.skipif(ADK_VERSION < (2, 13), reason="the list is of google-adk 2.13 and later")
class TestInMemory(SessionServiceContract):
    """ADK's own in-memory service, to see that the contract is ADK's wherever ADK has the rule."""

    @pytest.fixture
    def session_service(self, request: pytest.FixtureRequest) -> InMemorySessionService:
        name = request.node.name
        reason = ADK_IN_MEMORY_DIFFERS.get(name) or ADK_IN_MEMORY_DIFFERS.get(name.partition("[")[0])
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        return InMemorySessionService()
