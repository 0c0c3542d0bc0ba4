"""The newest part of a history: enough events, whole turns, no response without its call, and calls that wait."""

from __future__ import annotations

import random

import pytest
from google.adk.events import Event
from support.adk_requests import sent
from support.random_histories import SEEDS, RandomHistory

from adk_extra_sessions.history.calls import Calls, long_running_ids, response_ids
from adk_extra_sessions.history.newest import newest
from adk_extra_sessions.history.rewinds import live


def a_history(seed: int, turns: int = 30) -> RandomHistory:
    history = RandomHistory(random.Random(seed))
    history.grow(turns)
    return history


def read(events: list[Event], wanted: int) -> list[Event]:
    """Returns the newest part of what a store reads: calls that wait, and as many of the newest as it takes."""
    count = wanted + 4
    while True:
        begin = max(0, len(events) - count)
        waiting = {events[index].invocation_id for index in Calls.of(events, live(events)).that_wait()}
        earlier = [event for event in events[:begin] if event.invocation_id in waiting]
        loaded = [*earlier, *events[begin:]]
        found = newest(loaded, len(earlier), wanted, complete=begin == 0)
        if found is not None:
            return [loaded[index] for index in found.chosen]
        count *= 4


@pytest.mark.parametrize("wanted", [1, 7, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_there_are_as_many_as_wanted_and_not_many_more(seed: int, wanted: int) -> None:
    events = a_history(seed).events
    there = [events[index] for index in live(events)]
    part = read(events, wanted)
    left_out = [event for event in there[-wanted:] if event not in part]
    assert all(response_ids(event) for event in left_out)  # whose calls lie far back
    assert len(part) < wanted + 40


@pytest.mark.parametrize("seed", SEEDS)
def test_no_response_is_there_without_its_call(seed: int) -> None:
    part = read(a_history(seed).events, 12)
    made: set[str] = set()
    for event in part:
        made.update(call.id for call in event.get_function_calls() if call.id)
        assert set(response_ids(event)) <= made


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_a_part_of_the_history_in_the_same_order(seed: int) -> None:
    events = a_history(seed).events
    part = read(events, 12)
    assert part == [event for event in events if event in part]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_call_that_waits_is_there_and_can_be_answered(seed: int) -> None:
    history = a_history(seed)
    part = read(history.events, 8)
    for waiting, answer in history.answers():
        assert any(waiting in long_running_ids(event) for event in part)
        request = sent([*part, answer], branch=answer.branch)
        if request == "refused":  # as with all events: before google-adk 2.13 where a summary replaces the call
            assert sent([*history.events, answer], branch=answer.branch) == "refused"
        else:
            assert waiting in str(request) and "ready" in str(request)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_history_is_there_whole_but_for_what_was_taken_back(seed: int) -> None:
    events = a_history(seed).events
    part = read(events, 1000)
    assert [event for event in part if not response_ids(event)] == [
        events[index] for index in live(events) if not response_ids(events[index])
    ]
