"""Whatever fails in a batch: each caller gets its own outcome, and the queue goes on."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from redis.exceptions import ConnectionError as RedisConnectionError
from support.growing import growing
from support.no_threads import no_new_threads

from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.aio.service import SessionService
from adk_extra_sessions.errors import InputValidationError, StateValueError
from adk_extra_sessions.records import AppendRequest
from adk_extra_sessions.testing.contract.samples import APP, USER, a_session, an_event, ids, stored
from adk_extra_sessions.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


class Odd(OSError):
    """Its constructor takes other arguments than it keeps."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@pytest.mark.parametrize("how", ["from", "context", "from none"])
async def test_every_caller_learns_what_caused_an_error_and_nothing_of_the_others(
    service: SessionService, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    sessions = [await a_session(service) for _ in range(4)]

    def broken(requests: Sequence[AppendRequest]) -> Any:
        try:
            raise ValueError("why")
        except ValueError as cause:
            if how == "context":
                raise Odd(7, "lost")  # noqa: B904
            raise Odd(7, "lost") from (cause if how == "from" else None)

    monkeypatch.setattr(service.store.backend, "append", broken)
    # Not by four calls: the first may be alone in its batch, and then gets the very error.
    outcomes: list[Any] = service.store.append_many((session, an_event()) for session in sessions)
    assert len(set(map(id, outcomes))) == 4
    for outcome in outcomes:
        assert isinstance(outcome, Odd) and (str(outcome), outcome.code) == ("lost", 7)
        if how == "from none":
            assert outcome.__cause__ is None
        else:
            assert repr(outcome.__cause__) == "ValueError('why')"
            assert outcome.__cause__.__traceback__ is None  # its frame has all requests


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
async def test_no_thread_to_be_had_is_an_error_and_not_a_wait_for_ever(service: SessionService) -> None:
    sessions = [service.store.create_session(app_name=APP, user_id=USER) for _ in range(5)]
    with no_new_threads():
        appends = (service.append_event(session, an_event()) for session in sessions)
        outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=60)
        assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 5
        await asyncio.wait_for(service.flush(), timeout=60)
    assert len(set(map(id, outcomes))) == 5
    for session in sessions:
        await asyncio.wait_for(service.append_event(session, an_event()), timeout=60)
        assert ids(await stored(service, session)) == ids(session) and len(session.events) == 1


async def test_whatever_goes_wrong_in_a_batch_is_told(service: SessionService, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await a_session(service)

    def broken(writer: Writer, appends: Any) -> None:
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", broken)
        appends = [service.append_event(session, an_event(delta={"key": value})) for value in (object(), 1)]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StateValueError, MemoryError]
    assert session.events == []
    await service.append_event(session, an_event())


async def test_what_a_batch_stored_before_it_went_wrong_is_no_error(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, write = await a_session(service), Writer.write

    def broken(writer: Writer, appends: Any) -> None:
        write(writer, appends)
        raise MemoryError("none left")

    first, second = an_event("first"), an_event("second")
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", broken)
        await service.append_event(session, first)
    await service.append_event(session, second)
    assert ids(session) == [first.id, second.id]


async def test_an_event_that_changes_while_it_is_encoded_fails_alone(service: SessionService) -> None:
    sessions = [await a_session(service) for _ in range(5)]
    events = [an_event(delta={"cart": growing()}) if number == 2 else an_event() for number in range(5)]
    appends = [service.append_event(session, event) for session, event in zip(sessions, events, strict=True)]
    outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=60)
    assert isinstance(outcomes.pop(2), StateValueError)
    assert outcomes == [event for event in events if event is not events[2]]
    assert [len(session.events) for session in sessions] == [1, 1, 0, 1, 1]
    await asyncio.wait_for(service.append_event(sessions[2], an_event()), timeout=60)


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
    outcomes = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), timeout=60)
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
