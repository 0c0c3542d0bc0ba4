"""What ADK sends the model is the same with what `needed` leaves of random histories as with all of them.

ADK_EXTRA_SESSIONS_EXAMPLES=2000 runs as many, and others each time.
"""

from __future__ import annotations

import random

import pytest
from google.adk.events import Event
from support.random_histories import SEEDS, RandomHistory
from support.same_request import assert_same_request, chosen

from adk_extra_sessions.history.needed import needed
from adk_extra_sessions.history.outline import Outline
from adk_extra_sessions.history.rewinds import is_rewind


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
    history.reused_ids = history.unsteady_clock = False
    history.grow(25)
    part = chosen(history.events)
    # With an answer that a summary replaces, ADK begins where the turn of its call did, however old that is.
    replaced = [one for one in history.events if is_answer(one) and one not in part]
    whole = [one for one in history.events if one not in replaced]
    for event in (history.user_event(), *(answer for _, answer in history.answers())):
        assert_same_request([*whole, event], [*part, event], "none")


def is_answer(event: Event) -> bool:
    return event.author == "user" and bool(event.get_function_responses())


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


def test_most_of_what_summaries_replace_is_left_out() -> None:
    sizes = []
    for seed in SEEDS:
        history = RandomHistory(random.Random(seed))
        history.grow(60)
        sizes.append(len(needed(history.events)) / len(history.events))
    assert sum(sizes) / len(sizes) < 0.6
