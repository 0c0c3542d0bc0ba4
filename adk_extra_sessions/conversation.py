"""Turns events into lines that people can read: one line for each thing in an event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from attrs import frozen
from google.adk.events import Event, EventActions
from google.genai import types
from pydantic_core import to_jsonable_python


class Kind(Enum):
    """What a line is about."""

    TEXT = "text"
    THOUGHT = "thought"
    CALL = "call"
    RESPONSE = "response"
    CODE = "code"
    SPEECH = "speech"
    SOURCE = "source"
    SUMMARY = "summary"
    FILE = "file"
    STATE = "state"
    CONTROL = "control"
    ERROR = "error"


@frozen
class Line:
    """One thing in an event; its text may contain line breaks."""

    kind: Kind
    text: str


def event_lines(event: Event) -> Iterator[Line]:
    """Yields what an event contains: text, speech, tool calls, sources, changes of state, and actions.

    Args:
        event: Any event.
    """
    for part in (event.content.parts if event.content else None) or ():
        yield from _part(part)
    for speaker, transcription in (("user", event.input_transcription), ("agent", event.output_transcription)):
        if transcription and transcription.text:
            yield Line(Kind.SPEECH, f"{speaker}: {transcription.text}")
    yield from _sources(event)
    if event.interrupted:
        yield Line(Kind.CONTROL, "was interrupted")
    if event.error_code or event.error_message:
        yield Line(Kind.ERROR, " ".join(filter(None, (event.error_code, event.error_message))))
    yield from _actions(event.actions)
    for call_id in sorted(event.long_running_tool_ids or ()):
        yield Line(Kind.CONTROL, f"waits for {call_id}")


def _actions(actions: EventActions) -> Iterator[Line]:
    for key, value in actions.state_delta.items():
        yield Line(Kind.STATE, f"{key} = {_json(value)}")
    for name, version in actions.artifact_delta.items():
        yield Line(Kind.FILE, f"artifact {name}, version {version}")
    if actions.transfer_to_agent:
        yield Line(Kind.CONTROL, f"transfers to {actions.transfer_to_agent}")
    if actions.escalate:
        yield Line(Kind.CONTROL, "escalates")
    for call_id in actions.requested_auth_configs:
        yield Line(Kind.CONTROL, f"asks for credentials for {call_id}")
    for call_id in actions.requested_tool_confirmations:
        yield Line(Kind.CONTROL, f"asks for confirmation of {call_id}")
    if actions.rewind_before_invocation_id:
        yield Line(Kind.CONTROL, f"rewinds to before invocation {actions.rewind_before_invocation_id}")
    if actions.compaction:
        for part in actions.compaction.compacted_content.parts or ():
            if part.text:
                yield Line(Kind.SUMMARY, part.text)


def _sources(event: Event) -> Iterator[Line]:
    found = event.grounding_metadata
    for query in (*(found.web_search_queries or ()), *(found.retrieval_queries or ())) if found else ():
        yield Line(Kind.SOURCE, f"searched for {query}")
    for chunk in (found.grounding_chunks or ()) if found else ():
        source = chunk.web or chunk.retrieved_context or chunk.maps
        if source:
            yield _source(source.title, source.uri)
    for citation in (event.citation_metadata.citations or ()) if event.citation_metadata else ():
        yield _source(citation.title, citation.uri)


def _source(title: str | None, uri: str | None) -> Line:
    return Line(Kind.SOURCE, " ".join(filter(None, (title, f"<{uri}>" if uri else ""))))


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
