"""The queue in front of a store: what travels together, and what it survives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, model_serializer
from pymongo.errors import ServerSelectionTimeoutError
from redis.exceptions import ConnectionError as RedisConnectionError
from support.ctrl_c import ctrl_c_at
from support.no_threads import no_new_threads

from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.aio import group_commit
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError, StateValueError
from adk_extra_sessions.live_sessions import live_sessions
from adk_extra_sessions.records import AppendRequest
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored
from adk_extra_sessions.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def batches(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each call of the backend stored."""
    seen: list[int] = []
    store = service.store
    send = store.backend.append

    def counted(requests: Sequence[AppendRequest]) -> Any:
        seen.append(sum(len(request.events) for request in requests))
        return send(requests)

    monkeypatch.setattr(store.backend, "append", counted)
    return seen


async def test_appends_that_wait_together_travel_together(service: SessionService, batches: list[int]) -> None:
    sessions = [await a_session(service) for _ in range(40)]
    await asyncio.gather(*(service.append_event(session, an_event()) for session in sessions))
    assert sum(batches) == 40
    assert len(batches) < 20


async def test_a_batch_is_bounded(service: SessionService, batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 8)
    sessions = [await a_session(service) for _ in range(30)]
    await asyncio.gather(*(service.append_event(session, an_event()) for session in sessions))
    assert sum(batches) == 30
    assert max(batches) <= 8


async def test_a_batch_is_bounded_in_bytes(
    service: SessionService, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "BATCH_BYTES", 100_000)
    sessions = [await a_session(service) for _ in range(30)]
    await asyncio.gather(*(service.append_event(session, an_event("x" * 30_000)) for session in sessions))
    assert sum(batches) == 30
    assert max(batches) <= 4


async def test_many_events_of_one_session_keep_their_order(service: SessionService, batches: list[int]) -> None:
    session = await a_session(service)
    events = [an_event(str(number)) for number in range(150)]
    await asyncio.gather(*(service.append_event(session, event) for event in events))
    assert ids(await stored(service, session)) == ids(session) == [event.id for event in events]
    assert len(batches) < 50


async def test_a_caller_who_is_cancelled_as_the_outcome_comes_changes_no_order(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, other = await a_session(service), await a_session(service)
    write, all_queued, complete = partial(Writer.write, service.store.writer), threading.Event(), group_commit._complete

    def written_when_all_are_queued(writer: Writer, appends: Any) -> None:
        assert all_queued.wait(timeout=30)
        write(appends)

    def after_a_cancellation(batch: Any) -> None:
        tasks[-1].cancel()
        complete(batch)

    monkeypatch.setattr(Writer, "write", written_when_all_are_queued)
    monkeypatch.setattr(group_commit, "_complete", after_a_cancellation)
    events = [an_event(str(number), delta={"key": number}) for number in range(3)]
    tasks = [asyncio.ensure_future(service.append_event(other, an_event()))]
    tasks += [asyncio.ensure_future(service.append_event(session, event)) for event in events]
    await asyncio.sleep(0.01)
    all_queued.set()
    await asyncio.wait(tasks)
    found = await stored(service, session)
    assert found == session and ids(found) == [event.id for event in events]


async def test_a_server_error_reaches_every_caller_and_the_queue_goes_on(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [await a_session(service) for _ in range(4)]

    def broken(requests: Sequence[AppendRequest]) -> Any:
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(service.store.backend, "append", broken)
        appends = (service.append_event(session, an_event()) for session in sessions)
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 4
    for session in sessions:
        assert session.events == []
        await service.append_event(session, an_event())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_service_survives_fork(service: SessionService, backend: str) -> None:
    async def append() -> int:
        session = await service.get_session(app_name=APP, user_id=USER, session_id="one")
        session = session or await a_session(service, session_id="one")
        await service.append_event(session, an_event())
        return len((await stored(service, session)).events)

    assert asyncio.run(append()) == 1
    child = os.fork()
    if child == 0:
        os._exit(asyncio.run(append()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    own = 1 if backend in ("fakeredis", "mongomock") else 2
    assert asyncio.run(append()) == own + 1


@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
def test_appends_under_way_at_exit_are_stored(storage: dict[str, Any], server: object) -> None:
    script = f"""
        import asyncio
        from adk_extra_sessions import MongoSessionService, RedisSessionService
        from adk_extra_sessions.testing.contract.samples import a_session, an_event

        service = {"RedisSessionService" if "redis_url" in storage else "MongoSessionService"}(**{storage!r})

        async def main():
            session = await a_session(service, session_id="one")
            for _ in range(50):
                asyncio.ensure_future(service.append_event(session, an_event()))
            await asyncio.sleep(0)

        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    from adk_extra_sessions import MongoSessionStore, RedisSessionStore

    cls: Callable[..., Any] = RedisSessionStore if "redis_url" in storage else MongoSessionStore
    with cls(**storage) as store:
        assert len(store.get_session(app_name=APP, user_id=USER, session_id="one").events) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
async def test_no_thread_to_be_had_is_an_error_and_not_a_wait_for_ever(service: SessionService) -> None:
    sessions = [service.store.create_session(app_name=APP, user_id=USER) for _ in range(5)]
    with no_new_threads():
        appends = (service.append_event(session, an_event()) for session in sessions)
        outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=20)
        assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 5
        await asyncio.wait_for(service.flush(), timeout=20)
    assert len(set(map(id, outcomes))) == 5
    for session in sessions:
        await asyncio.wait_for(service.append_event(session, an_event()), timeout=20)
        assert ids(await stored(service, session)) == ids(session) and len(session.events) == 1


def test_closing_beside_appends_hangs_nobody(service: SessionService) -> None:
    async def appends(user: str) -> None:
        session = await a_session(service, user_id=user)
        for _ in range(20):
            await asyncio.wait_for(service.append_event(session, an_event()), timeout=20)

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(asyncio.run, appends(user)) for user in ("a", "b")]
        while not all(one.done() for one in work):
            service._commits.close()
        for one in work:
            one.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_fork_amid_a_write_blocks_no_session(service: SessionService) -> None:
    session = service.store.create_session(app_name=APP, user_id=USER)
    held, forked = threading.Event(), threading.Event()

    def writing() -> None:
        with live_sessions.storing([session]):
            held.set()
            forked.wait(timeout=30)

    thread = threading.Thread(target=writing)
    thread.start()
    assert held.wait(timeout=30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with live_sessions.storing([session]):
            os._exit(0)
    forked.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


async def test_whatever_goes_wrong_in_a_batch_is_told(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await a_session(service)

    def broken(writer: Writer, appends: Any) -> None:
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", broken)
        with pytest.raises(MemoryError):
            await service.append_event(session, an_event())
    assert session.events == []
    await service.append_event(session, an_event())


class Growing(BaseModel):
    """A value of a dictionary that grows while it is encoded, as when another task adds to it."""

    model_config = {"arbitrary_types_allowed": True}
    within: dict[str, object]

    @model_serializer
    def encoded(self) -> str:
        self.within[f"another {len(self.within)}"] = 1
        return "value"


async def test_an_event_that_changes_while_it_is_encoded_fails_alone(service: SessionService) -> None:
    sessions = [await a_session(service) for _ in range(5)]
    cart: dict[str, object] = {}
    cart |= {"first": Growing(within=cart), "second": 2}
    cart["first"].within = cart  # type: ignore[attr-defined]
    events = [an_event(delta={"cart": cart}) if number == 2 else an_event() for number in range(5)]
    appends = [service.append_event(session, event) for session, event in zip(sessions, events, strict=True)]
    outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=20)
    assert isinstance(outcomes.pop(2), StateValueError)
    assert outcomes == [event for event in events if event is not events[2]]
    assert [len(session.events) for session in sessions] == [1, 1, 0, 1, 1]
    await asyncio.wait_for(service.append_event(sessions[2], an_event()), timeout=20)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("id", None),
        ("id", " "),
        ("app_name", 7),
        ("user_id", None),
        ("events", None),
        ("state", None),
        ("last_update_time", "now"),
    ],
)
async def test_a_session_of_wrong_form_fails_alone(service: SessionService, field: str, wrong: object) -> None:
    sessions = [await a_session(service) for _ in range(5)]
    real = sessions[2].id
    setattr(sessions[2], field, wrong)
    appends = (service.append_event(session, an_event(delta={"app:key": 1})) for session in sessions)
    outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=20)
    assert isinstance(outcomes[2], InputValidationError)
    assert [len(ids(await stored(service, session))) for session in sessions if session is not sessions[2]] == [1] * 4
    found = await service.get_session(app_name=APP, user_id=USER, session_id=real)
    assert found is not None and found.events == []


@pytest.mark.parametrize(
    "unreachable",
    [
        lambda: RedisSessionService("redis://127.0.0.1:1", retry=None),
        lambda: MongoSessionService("mongodb://127.0.0.1:1/db?serverSelectionTimeoutMS=100&connect=false"),
    ],
    ids=["redis", "mongodb"],
)
async def test_callers_of_a_failed_batch_have_errors_of_their_own(
    unreachable: Callable[[], SessionService], make_service: Callable[..., SessionService]
) -> None:
    maker, service = make_service(), unreachable()
    sessions = [await a_session(maker, session_id=f"session-{number}") for number in range(40)]
    appends = (service.append_event(session, an_event(f"text of {session.id}")) for session in sessions)
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert len(set(map(id, outcomes))) == 40
    for session, outcome in zip(sessions, outcomes, strict=True):
        assert isinstance(outcome, (RedisConnectionError, ServerSelectionTimeoutError))
        assert "append_event on " in str(outcome) and outcome.args
        shown = "".join(traceback.TracebackException.from_exception(outcome, capture_locals=True).format())
        assert len(shown) < 60_000  # the driver's own frames are shown to whoever was alone in a batch
        assert not [other.id for other in sessions if f"{other.id}'" in shown and other is not session]
    await service.close()


async def test_a_queue_that_cannot_be_read_refuses_all_and_starts_anew(
    service: SessionService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = await a_session(service)
    with monkeypatch.context() as patch:
        patch.setattr(service._commits, "_take", _out_of_memory)
        outcomes = await asyncio.gather(
            *(service.append_event(session, an_event()) for _ in range(3)), return_exceptions=True
        )
    assert [type(outcome) for outcome in outcomes] == [MemoryError] * 3
    assert "The worker for appends failed (MemoryError)" in caplog.text
    await service.append_event(session, an_event())


def _out_of_memory(*_: object) -> None:
    raise MemoryError


async def test_flush_waits_for_nothing_that_comes_later(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "BATCH_APPENDS", 4)  # so that there is always something in the queue
    going = True

    async def load() -> None:
        live = await a_session(service)
        event = an_event()
        while going:
            await service.append_event(live, event.model_copy(update={"id": str(len(live.events))}))

    loaded = [asyncio.ensure_future(load()) for _ in range(100)]
    while not service._commits._queue:
        await asyncio.sleep(0.05)
    session = await a_session(service)
    before = [asyncio.ensure_future(service.append_event(session, an_event())) for _ in range(5)]
    await asyncio.sleep(0)
    flushed = asyncio.ensure_future(service.flush())
    await asyncio.wait({flushed}, timeout=60)
    in_time, waited_for = flushed.done(), len(session.events)
    going = False
    await asyncio.gather(*loaded, *before, flushed)
    assert in_time and waited_for == 5


def test_ctrl_c_amid_the_outcomes_leaves_nobody_waiting(service: SessionService) -> None:
    class Interrupted(dict):  # type: ignore[type-arg]
        """A state in whose change the user presses Ctrl-C, once."""

        pressed = False

        def update(self, *more: Any, **named: Any) -> None:
            if not Interrupted.pressed:
                Interrupted.pressed = True
                signal.raise_signal(signal.SIGINT)
            super().update(*more, **named)

    sessions = [service.store.create_session(app_name=APP, user_id=USER) for _ in range(4)]
    sessions[1].state = Interrupted(sessions[1].state)

    async def append_all() -> None:
        await asyncio.gather(*(service.append_event(one, an_event(delta={"key": 1})) for one in sessions))

    loop = asyncio.new_event_loop()
    task = loop.create_task(append_all())
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
    finally:
        signal.signal(signal.SIGINT, handler)
    loop.run_until_complete(asyncio.wait_for(task, timeout=20))
    loop.close()
    for session in sessions:
        assert session.state == {"key": 1} and len(session.events) == 1
        service.store.append_event(session, an_event())


def test_ctrl_c_anywhere_in_submit_stops_no_later_append(service: SessionService) -> None:
    session = service.store.create_session(app_name=APP, user_id=USER)

    async def append(line: int) -> bool:
        """Whether Ctrl-C came before the append was queued; it comes at a line of `submit`."""
        with ctrl_c_at(group_commit, line, functions=("submit",)) as came:
            task = asyncio.ensure_future(service.append_event(session, an_event()))
            await asyncio.wait({task})
        with suppress(KeyboardInterrupt):
            task.result()
        return came.is_set()

    line, came = 0, True
    while came:
        with suppress(KeyboardInterrupt):
            came = asyncio.run(append(line))
        asyncio.run(asyncio.wait_for(service.append_event(session, an_event()), timeout=20))
        line += 1
    assert line > 5
    found = service.store.get_session(app_name=APP, user_id=USER, session_id=session.id)
    assert found == session


@pytest.mark.slow
@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_amid_appends_hang_nowhere(storage: dict[str, Any]) -> None:
    script = str(Path(__file__).parents[1] / "support" / "forked_children.py")
    subprocess.run([sys.executable, "-W", "ignore", script, json.dumps(storage)], check=True, timeout=120)


@pytest.mark.slow
@pytest.mark.not_on("rediscluster")  # a client cannot be passed to another process
@pytest.mark.parametrize("first", [True, False], ids=["registered first", "registered last"])
@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_a_service_works_in_atexit_handlers(storage: dict[str, Any], first: bool, used: bool) -> None:
    script = f"""
        import asyncio, atexit

        def at_exit():
            async def last():
                session = await a_session(service, session_id="last")
                await service.append_event(session, an_event())
                await service.flush()
                assert len((await stored(service, session)).events) == 1
                await service.close()
            asyncio.run(service.flush())
            asyncio.run(last())
            asyncio.run(service.close())
            print("done")

        if {first}:
            atexit.register(at_exit)

        from adk_extra_sessions import MongoSessionService, RedisSessionService
        from adk_extra_sessions.testing.contract.samples import a_session, an_event, stored

        service = {"RedisSessionService" if "redis_url" in storage else "MongoSessionService"}(**{storage!r})
        if {used}:
            asyncio.run(a_session(service))
        if not {first}:
            atexit.register(at_exit)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ended = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("done\n", "")
