"""What ADK sends the model is the same with what `needed` leaves of a history as with all of it.

Random histories; ADK_EXTRA_SESSIONS_EXAMPLES=2000 runs as many, and others each time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from google.adk.events import Event
from support.adk_requests import sent
from support.random_histories import AGENTS, SEEDS, RandomHistory

from adk_extra_sessions.history.needed import needed
from adk_extra_sessions.history.outline import Outline
from adk_extra_sessions.history.rewinds import is_rewind, live


def assert_same_request(whole: Sequence[Event], part: Sequence[Event], contents_of: str = "default") -> None:
    """Checks it for every agent, branch and isolation scope that the history has."""
    there = [whole[index] for index in live(whole)]
    for branch in [*sorted({event.branch for event in there if event.branch}), None]:
        for scope in [None, *sorted({event.isolation_scope for event in there if event.isolation_scope})]:
            for agent in AGENTS:
                view = {"branch": branch, "scope": scope, "contents_of": contents_of}
                assert sent(part, agent, **view) == sent(whole, agent, **view), (agent, view)


def chosen(events: Sequence[Event]) -> list[Event]:
    return [events[index] for index in needed(events)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_is_sent_the_same_as_with_the_whole_history(seed: int) -> None:
    history = RandomHistory(random.Random(seed))
    history.grow(25)
    part = chosen(history.events)
    assert_same_request(history.events, part)
    said = history.user_event()
    assert_same_request([*history.events, said], [*part, said])


@pytest.mark.parametrize("seed", SEEDS)
def test_an_agent_without_history_is_sent_the_same(seed: int) -> None:
    # Without rewinds: ADK lets the turn of such an agent begin with one that was taken back.
    history = RandomHistory(random.Random(seed), rewinds=False)
    history.grow(25)
    part = chosen(history.events)
    for event in (history.user_event(), *(answer for _, answer in history.answers())):
        assert_same_request([*history.events, event], [*part, event], "none")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_call_that_waits_can_be_answered(seed: int) -> None:
    history = RandomHistory(random.Random(seed))
    history.grow(25)
    part = chosen(history.events)
    for _, answer in history.answers():
        assert_same_request([*history.events, answer], [*part, answer])


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outline_made_earlier_leads_to_the_same_request(seed: int) -> None:
    history = RandomHistory(random.Random(seed))
    history.grow(12)
    upto = len(history.events)
    outline = Outline.of(needed(history.events), upto, 0)
    history.grow(12)
    if any(is_rewind(event) for event in history.events[upto:]):
        return  # the whole history is read
    kept = [position for first, last in outline.kept for position in range(first, last + 1)]
    loaded = [history.events[position] for position in [*kept, *range(outline.start, len(history.events))]]
    assert_same_request(history.events, chosen(loaded))


@pytest.mark.parametrize("ends", ["finished", "aborted"])
def test_what_ended_a_task_is_there_as_long_as_something_of_the_task_is(ends: str) -> None:
    """Else ADK takes the task for one that goes on, and hands it what the user says next."""
    history = RandomHistory(random.Random(1))
    task = {"invocation_id": "turn", "isolation_scope": "task"}
    history._say("helper", "What colour?", **task)
    if ends == "finished":
        end = history._made("helper", history.response(["call"], "Task completed.", "finish_task"), **task)
    else:
        end = history._made("root", None, invocation_id="turn", error_code="INVOCATION_ABORTED")
    history.events.append(end)
    history.now += 5
    history._say("helper", "Left over", **task)
    for scope in ("task", None):
        history.events.append(history.summary(1000.0, end.timestamp, scope))
    for _ in range(10):
        history._text()
    history.events.append(history.summary(history.events[-20].timestamp, history.now, None))
    part = chosen(history.events)
    assert end in part and "Left over" in str(part)


def test_most_of_what_summaries_replace_is_left_out() -> None:
    sizes = []
    for seed in SEEDS:
        history = RandomHistory(random.Random(seed))
        history.grow(60)
        sizes.append(len(needed(history.events)) / len(history.events))
    assert sum(sizes) / len(sizes) < 0.6
