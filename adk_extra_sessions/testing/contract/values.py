"""The contract for values: events and state are read back as they were stored."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions import BaseSessionService
from google.genai import types
from pydantic import BaseModel

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import a_session, an_event, stored

VALUES: dict[str, Any] = {
    "none": None,
    "bool": True,
    "zero": 0,
    "negative-zero": -0.0,
    "float": 0.1,
    "whole-float": 2.0,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "int32": 2**31,
    "int53": 2**53 + 1,
    "int64": -(2**63),
    "beyond-int64": 2**64 + 1,
    "very-large": 10**300,
    "text": 'a\0b\u2028\U0001f600"\\',
    "empty": ["", [], {}, [[]], {"": {}}],
    "nested": {"a": {"b.c": [{"$d": None}, 1, 2.5]}},
    "like-a-wrapper": {"_json": "1"},
    "like-an-operator": {"$set": {"a": 1}, "a.b": 2, "\0": 3},
    "like-a-query": {"$gt": "", "$where": "1"},
    "like-extended-json": [{"$date": "2026-01-01T00:00:00Z"}, {"$oid": "0" * 24}, {"$numberLong": "1"}],
    "like-a-reference": {"$ref": "collection", "$id": 1, "$db": "db"},
    "deep": json.loads("[" * 120 + "]" * 120),
    "long": "x" * 100_000,
    "mixed-keys-order": {"b": 1, "a": 2},
}


class _Model(BaseModel):
    name: str
    when: datetime.date


class ValuesContract(Contract):
    """Every value in an event or in state is read back exactly."""

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
    async def test_state_comes_back_exactly(self, session_service: BaseSessionService, value: Any) -> None:
        state = {"key": value, "user:key": value, "app:key": value}
        session = await a_session(session_service, state=state)
        assert _exact((await stored(session_service, session)).state) == _exact(state)
        delta = {"other": value, "user:other": value, "app:other": value}
        await session_service.append_event(session, an_event(delta=delta))
        found = await stored(session_service, session)
        assert _exact(found.state) == _exact({**state, **delta})
        assert _exact(found.events[0].actions.state_delta) == _exact(delta)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "minus-inf"])
    async def test_non_finite_numbers_stay(self, session_service: BaseSessionService, value: float) -> None:
        state = {"key": value, "user:key": [value], "app:key": {"in": value}}
        session = await a_session(session_service, state=state)
        event = an_event(delta=state, custom_metadata={"scores": [value, 1.0, None]}, output={"x": value})
        await session_service.append_event(session, event)
        found = await stored(session_service, session)
        assert _exact(found.state) == _exact(state)
        (read,) = found.events
        assert _exact(read.actions.state_delta) == _exact(state)
        assert _exact(read.custom_metadata) == _exact({"scores": [value, 1.0, None]})
        assert _exact(read.output) == _exact({"x": value})

    async def test_an_event_comes_back_whole(self, session_service: BaseSessionService) -> None:
        session = await a_session(session_service)
        event = _full_event()
        sent = event.model_copy(deep=True)
        await session_service.append_event(session, event)
        (found,) = (await stored(session_service, session)).events
        assert found == sent
        assert found.model_dump() == sent.model_dump()

    async def test_what_pydantic_turns_into_json_is_stored_so(self, session_service: BaseSessionService) -> None:
        state = {
            "model": _Model(name="a", when=datetime.date(2026, 1, 2)),
            "time": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
            "tuple": (1, 2),
            "set": {1},
            "bytes": b"abc",
        }
        session = await a_session(session_service, state=state)
        expected = {
            "model": {"name": "a", "when": "2026-01-02"},
            "time": "2026-01-02T00:00:00Z",
            "tuple": [1, 2],
            "set": [1],
            "bytes": "abc",
        }
        assert (await stored(session_service, session)).state == expected
        await session_service.append_event(session, an_event(delta=state))
        assert (await stored(session_service, session)).events[0].actions.state_delta == expected

    @pytest.mark.parametrize("bad", ["object", "callable", "cycle", "surrogate", "bytes", "too-deep"])
    async def test_state_without_a_json_form_is_refused(self, session_service: BaseSessionService, bad: str) -> None:
        value = _unserializable(bad)
        session = await a_session(session_service)
        with pytest.raises((ValueError, TypeError), match="bad-key"):
            await a_session(session_service, session_id="refused", state={"key": 1, "user:key": 1, "bad-key": value})
        with pytest.raises((ValueError, TypeError), match="bad-key"):
            await session_service.append_event(session, an_event(delta={"user:key": 1, "bad-key": value}))
        assert await stored(session_service, session) == session
        assert len((await session_service.list_sessions(app_name=session.app_name)).sessions) == 1


def _exact(value: Any) -> Any:
    """Makes 1 and 1.0, True and 1, 0.0 and -0.0 differ."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return type(value), repr(value)


def _unserializable(kind: str) -> Any:
    if kind == "cycle":
        cycle: list[Any] = []
        cycle.append(cycle)
        return cycle
    if kind == "too-deep":
        deep: Any = 1
        for _ in range(230):
            deep = [deep]
        return deep
    return {"object": object(), "callable": print, "surrogate": "\ud800", "bytes": b"\xff"}[kind]


def _full_event() -> Event:
    parts = [
        types.Part(text="thinking", thought=True, thought_signature=b"\x00\xff\xfe-_"),
        types.Part(inline_data=types.Blob(data=bytes(range(256)), mime_type="application/octet-stream")),
        types.Part(
            function_call=types.FunctionCall(id="1", name="tool", args={"n": 2**70, "none": None, "list": [], "x": {}})
        ),
        types.Part(function_response=types.FunctionResponse(id="1", name="tool", response={"ok": [1.5, None, {}]})),
        types.Part(file_data=types.FileData(file_uri="gs://bucket/file", mime_type="text/plain")),
        types.Part(executable_code=types.ExecutableCode(code="1", language=types.Language.PYTHON)),
    ]
    return Event(
        author="agent",
        invocation_id="invocation",
        branch="a.b",
        content=types.Content(role="model", parts=parts),
        long_running_tool_ids={"1", "2", "3"},
        turn_complete=True,
        error_code="E",
        error_message="",
        custom_metadata={"list": [], "none": None, "nested": {"none": None}},
        usage_metadata=types.GenerateContentResponseUsageMetadata(total_token_count=7),
        grounding_metadata=types.GroundingMetadata(web_search_queries=["q"]),
        timestamp=1_700_000_000.123456,
        actions=EventActions(
            state_delta={"key": None, "list": [], "dict": {}},
            artifact_delta={"file": 2},
            transfer_to_agent="other",
            escalate=True,
            skip_summarization=False,
            agent_state={"step": None},
        ),
    )
