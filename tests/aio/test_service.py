"""The async services as an application uses them: loops, threads, cancellation, closing."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import random
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.adk.sessions import InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig

from adk_extra_sessions.aio import group_commit
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import ClosedError, SessionNotFoundError, StaleSessionError, StateValueError
from adk_extra_sessions.store import SessionStore
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored, texts

pytestmark = pytest.mark.anyio


def test_a_service_outlives_its_event_loops(service: SessionService) -> None:
    async def turn(session_id: str) -> list[str]:
        session = await service.get_session(app_name=APP, user_id=USER, session_id=session_id)
        session = session or await a_session(service, session_id=session_id)
        await service.append_event(session, an_event())
        return ids(await stored(service, session))

    seen = [asyncio.run(turn("one")) for _ in range(3)]
    assert [len(events) for events in seen] == [1, 2, 3]
    assert seen[2][:2] == seen[1]


def test_threads_with_a_loop_each_share_a_service(service: SessionService) -> None:
    async def work(user: str) -> int:
        session = await a_session(service, user_id=user)
        await asyncio.gather(*(service.append_event(session, an_event(delta={"app:last": user})) for _ in range(20)))
        return len((await stored(service, session)).events)

    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(lambda user: asyncio.run(work(user)), ["a", "b", "c", "d"]))
    assert counts == [20, 20, 20, 20]


@pytest.mark.slow
async def test_256_tasks_at_once(service: SessionService) -> None:
    async def work(number: int) -> tuple[Session, Session]:
        session = await a_session(service, user_id=f"user{number % 16}", session_id=str(number))
        for step in range(3):
            await service.append_event(session, an_event(delta={"step": step, f"user:{number}": step}))
        return session, await stored(service, session)

    for live, found in await asyncio.gather(*map(work, range(256))):
        assert ids(live) == ids(found) and len(ids(found)) == 3
        assert found.state["step"] == 2
    state = await service.get_user_state(app_name=APP, user_id="user3")
    assert state == {str(number): 2 for number in range(256) if number % 16 == 3}


async def test_an_error_in_a_batch_is_its_callers_alone(service: SessionService) -> None:
    good, stale, gone, bad = [await a_session(service, session_id=name) for name in ("good", "stale", "gone", "bad")]
    await service.append_event(await stored(service, stale), an_event())
    await service.delete_session(app_name=APP, user_id=USER, session_id="gone")
    outcomes = await asyncio.gather(
        service.append_event(good, an_event(delta={"user:good": 1})),
        service.append_event(stale, an_event(delta={"user:stale": 1})),
        service.append_event(gone, an_event(delta={"user:gone": 1})),
        service.append_event(bad, an_event(delta={"bad": object()})),
        service.append_event(good, an_event(delta={"user:better": 1})),
        return_exceptions=True,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[1:4] == [StaleSessionError, SessionNotFoundError, StateValueError]
    assert ids(await stored(service, good)) == [outcomes[0].id, outcomes[4].id]  # type: ignore[union-attr]
    assert await service.get_user_state(app_name=APP, user_id=USER) == {"good": 1, "better": 1}


async def test_a_cancelled_append_leaves_session_and_storage_agreed(service: SessionService) -> None:
    chance = random.Random(1)
    session = await a_session(service)
    for step in range(60):
        task = asyncio.ensure_future(service.append_event(session, an_event(str(step), delta={"temp:step": step})))
        await asyncio.sleep(chance.random() * 0.003)
        task.cancel()
        await asyncio.wait([task])
        found = await stored(service, session)
        assert ids(found) == ids(session)
        assert session._storage_update_marker == found._storage_update_marker
        assert session.state == ({"temp:step": _last(session)} if session.events else {})
    await service.append_event(session, an_event())


def _last(session: Session) -> int:
    content = session.events[-1].content
    assert content and content.parts and content.parts[0].text
    return int(content.parts[0].text)


async def test_a_timeout_waits_for_the_outcome(service: SessionService) -> None:
    session = await a_session(service)
    for _ in range(20):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(service.append_event(session, an_event()), timeout=0.0002)
        assert ids(await stored(service, session)) == ids(session)


async def test_flush_waits_for_what_was_started(service: SessionService) -> None:
    session = await a_session(service)
    tasks = [asyncio.ensure_future(service.append_event(session, an_event())) for _ in range(10)]
    await asyncio.sleep(0)
    await service.flush()
    assert len((await stored(service, session)).events) == 10
    await asyncio.gather(*tasks)


async def test_leaving_the_context_drains_the_queue(
    make_service: Callable[..., SessionService], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 1)
    async with make_service() as service:
        session = await a_session(service)
        tasks = [asyncio.ensure_future(service.append_event(session, an_event())) for _ in range(10)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert len((await stored(make_service(), session)).events) == 10


async def test_closing_a_service_leaves_a_given_store_open(store: SessionStore, service: SessionService) -> None:
    async with type(service)(store=store) as second:  # type: ignore[call-arg]
        session = await a_session(second)
    store.ping()
    assert store.get_session(app_name=APP, user_id=USER, session_id=session.id) is not None


async def test_closing_a_service_leaves_a_given_client_open(store: SessionStore, service: SessionService) -> None:
    options = {"db_name": store.db_name} if hasattr(store, "db_name") else {}
    async with type(service)(client=store.client, **options) as second:  # type: ignore[call-arg,attr-defined]
        await second.list_sessions(app_name=APP)
    store.ping()


async def test_events_since_a_time_are_all_there_when_clocks_were_out_of_order(service: SessionService) -> None:
    """README.md, "What differs from ADK's own services"."""
    config = GetSessionConfig(after_timestamp=200.0)
    expected = {type(service): ["early", "late"], InMemorySessionService: ["late"]}
    for one in (service, InMemorySessionService()):
        session = await a_session(one)
        for text, at in (("early", 300.0), ("behind", 100.0), ("late", 400.0)):
            await one.append_event(session, an_event(text, at=at))
        assert texts(await stored(one, session, config=config)) == expected[type(one)]


async def test_a_closed_service_says_so(service: SessionService) -> None:
    session = await a_session(service)
    await service.close()
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: service.create_session(app_name=APP, user_id=USER),
        "get": lambda: service.get_session(app_name=APP, user_id=USER, session_id=session.id),
        "list": lambda: service.list_sessions(app_name=APP),
        "delete": lambda: service.delete_session(app_name=APP, user_id=USER, session_id=session.id),
        "user state": lambda: service.get_user_state(app_name=APP, user_id=USER),
        "append": lambda: service.append_event(session, an_event()),
        "ping": service.ping,
    }
    for name, call in calls.items():
        with pytest.raises(ClosedError):
            pytest.fail(f"{name} was accepted: {await call()}")
    assert session.events == []
    await service.flush()
    await service.close()


async def test_a_service_can_be_pickled_and_copied(service: SessionService, backend: str) -> None:
    if backend == "rediscluster":
        with pytest.raises(TypeError, match="client"):
            pickle.dumps(service)
        return
    session = await a_session(service, state={"key": 1})
    for twin in (pickle.loads(pickle.dumps(service)), copy.deepcopy(service)):
        assert type(twin) is type(service)
        assert (await stored(twin, session)).state == {"key": 1}
        await twin.close()


async def test_a_cancelled_call_ends_when_its_outcome_is_known(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    monkeypatch.setattr(service.store, "delete_session", lambda **_: answer.wait(60))
    task = asyncio.ensure_future(service.delete_session(app_name=APP, user_id=USER, session_id="one"))
    await asyncio.sleep(0)
    task.cancel()
    _, waiting = await asyncio.wait({task}, timeout=0.05)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting


async def test_a_ping_reaches_the_server_or_tells(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await service.ping() is None  # type: ignore[func-returns-value]

    def broken() -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr(service.store, "ping", broken)
    with pytest.raises(ConnectionError):
        await service.ping()


async def test_a_ping_can_be_given_up_at_once(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    ended = []
    monkeypatch.setattr(service.store, "ping", lambda: ended.append(answer.wait(60)))
    try:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(service.ping(), timeout=0.05)
        assert not ended
    finally:
        answer.set()


async def test_no_thread_is_left_after_closing(make_service: Callable[..., SessionService]) -> None:
    before = set(threading.enumerate())
    async with make_service() as service:
        session = await a_session(service)
        await service.append_event(session, an_event())
    names = [thread.name for thread in set(threading.enumerate()) - before]
    assert not [name for name in names if name.startswith("adk-")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
