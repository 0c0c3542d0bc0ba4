"""A conversation as people read it: what each event says, one line for each thing in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from attrs import frozen
from google.adk.events import Event
from google.genai import types
from pydantic_core import to_jsonable_python


class Kind(Enum):
    """What a line is about."""

    TEXT = "text"
    THOUGHT = "thought"
    CALL = "call"
    RESPONSE = "response"
    CODE = "code"
    FILE = "file"
    STATE = "state"
    CONTROL = "control"
    ERROR = "error"


@frozen
class Line:
    """One thing in an event; its text may have several lines."""

    kind: Kind
    text: str


def event_lines(event: Event) -> Iterator[Line]:
    """Tells what an event holds: texts, calls of tools and their answers, changes of state, and what it directs.

    Args:
        event: Any event.
    """
    for part in (event.content.parts if event.content else None) or ():
        yield from _part(part)
    if event.error_code or event.error_message:
        yield Line(Kind.ERROR, " ".join(filter(None, (event.error_code, event.error_message))))
    actions = event.actions
    for key, value in actions.state_delta.items():
        yield Line(Kind.STATE, f"{key} = {_json(value)}")
    for name, version in actions.artifact_delta.items():
        yield Line(Kind.FILE, f"artifact {name}, version {version}")
    if actions.transfer_to_agent:
        yield Line(Kind.CONTROL, f"transfers to {actions.transfer_to_agent}")
    if actions.escalate:
        yield Line(Kind.CONTROL, "escalates")
    for call_id in sorted(event.long_running_tool_ids or ()):
        yield Line(Kind.CONTROL, f"waits for {call_id}")


def _part(part: types.Part) -> Iterator[Line]:
    if part.text:
        yield Line(Kind.THOUGHT if part.thought else Kind.TEXT, part.text)
    if part.function_call:
        yield Line(Kind.CALL, f"{part.function_call.name}({_arguments(part.function_call.args or {})})")
    if part.function_response:
        yield Line(Kind.RESPONSE, f"{part.function_response.name} -> {_json(part.function_response.response)}")
    if part.executable_code:
        yield Line(Kind.CODE, part.executable_code.code or "")
    if part.code_execution_result:
        yield Line(Kind.RESPONSE, part.code_execution_result.output or "")
    if part.inline_data:
        size = len(part.inline_data.data or b"")
        yield Line(Kind.FILE, f"{part.inline_data.mime_type or 'data'}, {size:,} bytes")
    if part.file_data:
        yield Line(Kind.FILE, f"{part.file_data.mime_type or 'file'} at {part.file_data.file_uri}")


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_json(value)}" for name, value in arguments.items())


def _json(value: Any) -> str:
    return json.dumps(to_jsonable_python(value, serialize_unknown=True, inf_nan_mode="constants"), ensure_ascii=False)
