"""An event as people read it."""

from __future__ import annotations

from google.adk.events import Event, EventActions
from google.adk.events.event_actions import EventCompaction
from google.genai import types

from adk_extra_sessions.conversation import Kind, Line, event_lines


def test_what_a_live_or_grounded_event_holds_has_lines() -> None:
    summary = types.Content(role="model", parts=[types.Part(text="They spoke of bicycles.")])
    web = types.GroundingChunkWeb(title="Bicycles", uri="https://example.org/b")
    event = Event(
        author="shop",
        input_transcription=types.Transcription(text="a bicycle please", finished=True),
        output_transcription=types.Transcription(text="gladly"),
        grounding_metadata=types.GroundingMetadata(
            web_search_queries=["bicycle"], grounding_chunks=[types.GroundingChunk(web=web)]
        ),
        citation_metadata=types.CitationMetadata(citations=[types.Citation(uri="https://example.org/c")]),
        interrupted=True,
        actions=EventActions(
            compaction=EventCompaction(start_timestamp=1.0, end_timestamp=2.0, compacted_content=summary),
            rewind_before_invocation_id="i1",
        ),
    )
    assert list(event_lines(event)) == [
        Line(Kind.SPEECH, "user: a bicycle please"),
        Line(Kind.SPEECH, "agent: gladly"),
        Line(Kind.SOURCE, "searched for bicycle"),
        Line(Kind.SOURCE, "Bicycles <https://example.org/b>"),
        Line(Kind.SOURCE, "<https://example.org/c>"),
        Line(Kind.CONTROL, "was interrupted"),
        Line(Kind.CONTROL, "rewinds to before invocation i1"),
        Line(Kind.SUMMARY, "They spoke of bicycles."),
    ]


def test_each_thing_in_an_event_has_a_line() -> None:
    parts = [
        types.Part(text="hello"),
        types.Part(text="hmm", thought=True),
        types.Part(function_call=types.FunctionCall(name="find", args={"n": 1, "what": "é"})),
        types.Part(function_response=types.FunctionResponse(name="find", response={"x": [None]})),
        types.Part(executable_code=types.ExecutableCode(code="1 + 1", language=types.Language.PYTHON)),
        types.Part(code_execution_result=types.CodeExecutionResult(output="2", outcome=types.Outcome.OUTCOME_OK)),
        types.Part(inline_data=types.Blob(mime_type="image/png", data=b"123")),
        types.Part(file_data=types.FileData(mime_type="text/plain", file_uri="gs://a/b")),
    ]
    actions = EventActions(
        state_delta={"a": float("nan")}, artifact_delta={"doc": 2}, transfer_to_agent="clerk", escalate=True
    )
    event = Event(
        author="shop",
        content=types.Content(role="model", parts=parts),
        actions=actions,
        error_message="too much",
        long_running_tool_ids={"c2", "c1"},
    )
    assert list(event_lines(event)) == [
        Line(Kind.TEXT, "hello"),
        Line(Kind.THOUGHT, "hmm"),
        Line(Kind.CALL, 'find(n=1, what="é")'),
        Line(Kind.RESPONSE, 'find -> {"x": [null]}'),
        Line(Kind.CODE, "1 + 1"),
        Line(Kind.RESPONSE, "2"),
        Line(Kind.FILE, "image/png, 3 bytes"),
        Line(Kind.FILE, "text/plain at gs://a/b"),
        Line(Kind.ERROR, "too much"),
        Line(Kind.STATE, "a = NaN"),
        Line(Kind.FILE, "artifact doc, version 2"),
        Line(Kind.CONTROL, "transfers to clerk"),
        Line(Kind.CONTROL, "escalates"),
        Line(Kind.CONTROL, "waits for c1"),
        Line(Kind.CONTROL, "waits for c2"),
    ]
    assert list(event_lines(Event(author="shop"))) == []
