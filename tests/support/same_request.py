"""Compares what ADK sends a model with a whole history and with a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.adk.events import Event
from support.adk_requests import sent
from support.random_histories import AGENTS

from adk_extra_sessions.history.needed import needed
from adk_extra_sessions.history.rewinds import live


def assert_same_request(whole: Sequence[Event], part: Sequence[Event], contents_of: str = "default") -> None:
    """Checks it for every agent, branch and isolation scope that the history has."""
    there = [whole[index] for index in live(whole)]
    scopes = {event.isolation_scope for event in there if event.isolation_scope}
    if contents_of == "none":  # such an agent responds in a task only to what was just said there
        scopes &= {whole[-1].isolation_scope}
    without = "Summary " if contents_of == "none" else None  # it may be sent one that a longer one contains
    for branch in [*sorted({event.branch for event in there if event.branch}), None]:
        for scope in [None, *sorted(scopes)]:
            for agent in AGENTS:
                view = {"branch": branch, "scope": scope, "contents_of": contents_of}
                one, other = (sent(events, agent, **view) for events in (part, whole))
                assert without_text(one, without) == without_text(other, without), (agent, view)


def without_text(contents: Any, start: str | None) -> Any:
    """Leaves out the contents whose text begins so."""
    if start is None or isinstance(contents, str):
        return contents
    return [one for one in contents if not str(one["parts"][0].get("text")).startswith(start)]


def chosen(events: Sequence[Event]) -> list[Event]:
    """Returns the events of a history that are needed."""
    return [events[index] for index in needed(events)]
