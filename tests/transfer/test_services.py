"""Copies from and to ADK's own session services, and any other named as `module:factory`."""

from __future__ import annotations

import asyncio
import io
import sys
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from support.conversations import IN_ORDER, LENGTHS, count, filled, outcomes
from support.servers import MongoServer, RedisServer

from adk_extra_sessions import ConfigurationError, RedisSessionService, RedisSessionStore, SessionStore
from adk_extra_sessions.testing.contract.samples import APP
from adk_extra_sessions.transfer import (
    Place,
    ServicePlace,
    SessionItem,
    SharedStateItem,
    StorePlace,
    copy_items,
    open_place,
    plan_items,
    read_items,
    verify_items,
    write_items,
)

EVERY = 2 * len(LENGTHS)


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """A module in which factories can be put."""
    made = types.ModuleType("some_services")
    sys.modules["some_services"] = made
    yield made
    del sys.modules["some_services"]


@pytest.fixture
def memory(module: types.ModuleType) -> Iterator[Place]:
    """ADK's in-memory service, with sessions."""
    module.service = filled(InMemorySessionService())  # type: ignore[attr-defined]
    with open_place("some_services:service") as place:
        yield place


def test_in_memory_to_a_store_and_back(memory: Place, store: SessionStore) -> None:
    destination = StorePlace(store)
    assert outcomes(copy_items(memory.items([APP]), destination)) == {"created": EVERY, "state": 3}
    assert outcomes(verify_items(memory.items([APP]), destination)) == {"the same": EVERY + 3}
    assert outcomes(copy_items(memory.items([APP]), destination)) == {"the same": EVERY, "state": 3}
    with open_place("memory://") as back:
        assert outcomes(copy_items(destination.items(), back)) == {"created": EVERY, "state": 3}
        assert outcomes(verify_items(memory.items([APP]), back)) == {"the same": EVERY + 3}
        assert outcomes(plan_items(destination.items(), back)) == {"the same": EVERY, "state": 3}
        assert count(back) == EVERY  # and nothing left of what shared state was written with


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_a_file_of_a_services_sessions(memory: Place, store: SessionStore) -> None:
    file = io.BytesIO()
    assert outcomes(write_items(memory.items([APP]), file)) == {"written": EVERY, "state": 3}
    file.seek(0)
    assert outcomes(copy_items(read_items(file), StorePlace(store))) == {"created": EVERY, "state": 3}
    assert outcomes(verify_items(memory.items([APP]), StorePlace(store))) == {"the same": EVERY + 3}


def test_sqlite_to_a_store_on_to_another_and_back(
    store: SessionStore, other_store: SessionStore, sqlite_url: str
) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    filled(SqliteSessionService(path), lengths={"empty": 0, "short": 3, "some": 60}, times=IN_ORDER)
    one, other = StorePlace(store), StorePlace(other_store)
    with open_place(f"sqlite:///{path}") as source, open_place(f"sqlite:///{path}.back") as back:
        assert outcomes(copy_items(source.items([APP]), one)) == {"created": 6, "state": 3}
        assert outcomes(copy_items(one.items(), other)) == {"created": 6, "state": 3}
        assert outcomes(copy_items(other.items(), back)) == {"created": 6, "state": 3}
        for place in (one, other, back):
            assert outcomes(verify_items(source.items([APP]), place)) == {"the same": 9}


@pytest.mark.servers
@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("scheme", ["adk-redis", "adk-mongodb"])
def test_adks_services_on_redis_and_mongodb(scheme: str, store: SessionStore, request: pytest.FixtureRequest) -> None:
    pytest.importorskip(f"google.adk.integrations.{scheme.removeprefix('adk-')}")
    server: RedisServer | MongoServer = request.getfixturevalue(
        "redis_server" if scheme == "adk-redis" else "mongod_server"
    )
    url = f"adk-{server.url}?key_prefix=copied:" if scheme == "adk-redis" else f"adk-{server.url}copied"
    lengths = {"short": 3, "some": 20}
    with open_place("memory://") as memory, open_place(url) as place:
        assert isinstance(memory, ServicePlace)
        filled(memory.service, users=[0], lengths=lengths, times=IN_ORDER)
        try:
            assert outcomes(copy_items(memory.items([APP]), place)) == {"created": 2, "state": 2}
            assert outcomes(verify_items(memory.items([APP]), place)) == {"the same": 4}
            assert outcomes(copy_items(place.items([APP]), StorePlace(store))) == {"created": 2, "state": 2}
            assert outcomes(verify_items(place.items([APP]), StorePlace(store))) == {"the same": 4}
        finally:
            for key in list(place.keys(APP)):
                place.delete(key)


def test_a_replay_of_old_deltas_leaves_shared_state_as_it_is(memory: Place) -> None:
    with open_place("memory://") as place:
        list(copy_items(memory.items([APP]), place))
        assert isinstance(place, ServicePlace)
        shared = {one.user_id: one.state for one in memory.shared_states(APP)}
        assert {one.user_id: one.state for one in place.shared_states(APP)} == shared


def test_what_a_service_cannot_hold_is_told(memory: Place, sqlite_url: str) -> None:
    with open_place(sqlite_url) as place:  # which sorts events by their time
        list(copy_items(memory.items([APP], ["u:0"]), place))
        different = [one for one in verify_items(memory.items([APP], ["u:0"]), place) if one.problems]
        assert {one.item.key.session_id for one in different if isinstance(one.item, SessionItem)} == {
            name for name, count in LENGTHS.items() if count > 1
        }
        assert all("differs" in problem for one in different for problem in one.problems[1:])


def test_a_copy_that_broke_off_is_completed(memory: Place, sqlite_url: str) -> None:
    with open_place(sqlite_url) as place:
        for item in memory.items([APP], ["u:0"]):
            if isinstance(item, SharedStateItem) or item.key.session_id != "short":
                continue
            with item.reading() as source:
                assert source is not None
                place.restore(source.session, [next(source.events), next(source.events)])
        for call in (plan_items, copy_items):
            assert outcomes(call(memory.items([APP], ["u:0"]), place)) == {"created": 3, "continued": 1, "state": 1}


def test_a_session_that_appears_in_a_service_meanwhile_does_not_stop_the_others(
    memory: Place, module: types.ModuleType
) -> None:
    class Shared(InMemorySessionService):
        async def get_session(self, *, session_id: str, **names: Any) -> Any:
            found = await super().get_session(session_id=session_id, **names)
            if session_id == "short" and found is None:
                del names["config"]
                await self.create_session(session_id=session_id, **names)
            return found

    module.service = Shared()  # type: ignore[attr-defined]
    with open_place("some_services:service") as place:
        results = list(copy_items(memory.items([APP], ["u:0"]), place))
    assert Counter(one.outcome.value for one in results) == {"created": 3, "failed": 1, "state": 1}
    (failed,) = (one for one in results if one.problems)
    assert isinstance(failed.item, SessionItem) and failed.item.key.session_id == "short"
    assert "already exists" in failed.problems[0]


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_shared_state_without_a_json_form_stops_no_session(store: SessionStore, module: types.ModuleType) -> None:
    service = InMemorySessionService()
    names = {"app_name": APP, "user_id": "u"}
    asyncio.run(service.create_session(**names, state={"own": 1, "user:it": 2, "app:it": object()}))
    module.service = service  # type: ignore[attr-defined]
    with open_place("some_services:service") as place:
        results = list(copy_items(place.items([APP]), StorePlace(store)))
    assert [one.outcome.value for one in results] == ["created", "state", "failed"]
    (copied,) = store.list_sessions(**names).sessions
    assert copied.state == {"own": 1, "user:it": 2}


class ListsByUserOnly(InMemorySessionService):
    """As adk-extra-services: needs a user to list, lists without state, and has no `get_user_state`."""

    async def list_sessions(self, *, app_name: str, user_id: str) -> Any:  # type: ignore[override]
        found = await super().list_sessions(app_name=app_name, user_id=user_id)
        for session in found.sessions:
            session.state = {}
        return found

    async def get_user_state(self, **_: Any) -> Any:
        raise NotImplementedError


@pytest.mark.servers
@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_a_service_that_lists_one_user_only(store: SessionStore, module: types.ModuleType) -> None:
    module.service = filled(ListsByUserOnly())  # type: ignore[attr-defined]
    with open_place("some_services:service") as place:
        with pytest.raises(ConfigurationError, match="--user"):
            list(place.items([APP]))
        copied = outcomes(copy_items(place.items([APP], ["u:0", "u:1"]), StorePlace(store)))
        assert copied == {"created": EVERY, "state": 2}
        assert store.get_user_state(app_name=APP, user_id="u:1") == {"name": "u1", "x": [1, 59]}


def test_a_factory_may_make_one_of_our_services(module: types.ModuleType) -> None:
    async def make() -> RedisSessionService:
        return RedisSessionService("fakeredis://of-a-factory")

    module.make = make  # type: ignore[attr-defined]
    with open_place("some_services:make") as place:
        assert isinstance(place, StorePlace)
        assert isinstance(place.store, RedisSessionStore)
        assert list(place.app_names()) == []


TOO_OLD = "This version of google-adk cannot open"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nothing", "Expected a URL such as redis://"),
        ("some_services:nothing", "Cannot import some_services:nothing"),
        ("no_such_module:make", "Cannot import no_such_module:make"),
        ("some_services:__name__", "Expected a session service or a store, got str"),
        ("env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE is not set"),
        ("sqlite:////no/such/file.db", "File '/no/such/file.db' does not exist"),
        ("adk-mongodb://localhost", f"must have a database|{TOO_OLD}"),
        ("adk-redis://localhost?ttl_seconds=soon", f"one of its options is not valid|{TOO_OLD}"),
        ("mongodb://localhost", "No database"),
        ("nix://user:secret@host/", "ADK cannot open nix://"),
    ],
)
def test_what_cannot_be_opened_is_named_without_its_password(module: types.ModuleType, url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        open_place(url, must_exist=True)
    assert "secret" not in str(refused.value)


def test_a_place_of_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", "fakeredis://from-the-environment")
    with open_place("env:SOME_URL") as place:
        assert isinstance(place, StorePlace)


def test_apps_of_adks_services_must_be_named(memory: Place) -> None:
    with pytest.raises(ConfigurationError, match="--app"):
        list(memory.items())
