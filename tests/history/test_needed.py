"""What is needed of a history, for ADK to send the model the same as with all of it: case by case."""

from __future__ import annotations

import math
import random

import pytest
from google.adk.events.event_actions import EventActions
from google.genai import types
from support.random_histories import AGENTS, RandomHistory
from support.same_request import assert_same_request, chosen


@pytest.mark.parametrize("ends", ["finished", "aborted"])
def test_what_ended_a_task_is_there_as_long_as_something_of_the_task_is(ends: str) -> None:
    """Else ADK takes the task for one that goes on, and hands it what the user says next."""
    history = RandomHistory(random.Random(1))
    task = {"invocation_id": "turn", "isolation_scope": "task"}
    history._say("helper", "What colour?", **task)
    history._call("helper", ["lookup"], **task)
    history._respond("helper", ["lookup"], "Found", **task)
    if ends == "finished":
        end = history._made("helper", history.response(["call"], "Task completed.", "finish_task"), **task)
    else:
        end = history._made("root", None, invocation_id="turn", error_code="INVOCATION_ABORTED")
    history.events.append(end)
    history.now += 5
    history._say("helper", "Left over", **task)
    history._call("helper", ["later"], invocation_id="later")
    history._respond("helper", ["later"], invocation_id="later")
    for scope in ("task", None):
        history.events.append(history.summary(1000.0, end.timestamp, scope))
    for _ in range(10):
        history._text()
    history.events.append(history.summary(history.events[-20].timestamp, history.now, None))
    part = chosen(history.events)
    assert end in part and "Left over" in str(part) and "Found" not in str(part)


def conversation(turns: int) -> RandomHistory:
    """Makes a history of turns in which only words are said, in the order of their times."""
    history = RandomHistory(random.Random(1))
    history.unsteady_clock = False
    for _ in range(turns):
        history._text()
        history.now += 1
    return history


@pytest.mark.parametrize("hidden_by", ["node path", "call", "response"])
def test_what_a_summary_replaces_for_some_agents_only_is_kept(hidden_by: str) -> None:
    history = conversation(10)
    summary = history.summary(1000.0, history.now, None)
    call = types.FunctionCall(id="call", name="adk_request_credential", args={})  # which ADK sends no model
    if hidden_by == "node path":
        summary.node_info.path = "flow/helper@1"
    elif hidden_by == "call":
        summary.content = types.Content(role="model", parts=[types.Part(function_call=call)])
    else:
        summary.content = history.response(["call"], "granted", "adk_request_credential")
    history.events.append(summary)
    history.events.append(history.user_event())
    assert_same_request(history.events, chosen(history.events))


@pytest.mark.parametrize("times", [(math.nan, 1099.0), (1000.0, math.nan), (1099.0, 1000.0)], ids=str)
def test_a_summary_between_no_two_times_replaces_nothing_and_hides_no_other(times: tuple[float, float]) -> None:
    history = conversation(20)
    said = [event.timestamp for event in history.events]
    for start, end in ((said[20], said[25]), times, (said[2], said[9]), (said[30], said[31])):
        history.events.append(history.summary(start, end, None))
    history.now += 100
    history._text()
    part = chosen(history.events)
    assert_same_request(history.events, part)
    assert [event for event in part if event.actions.compaction] == history.events[40:44]


@pytest.mark.parametrize("longest_first", [False, True])
def test_a_summary_within_another_is_left_out(longest_first: bool) -> None:
    history = conversation(20)
    said = [event.timestamp for event in history.events]
    ends = sorted(said[5:30:5], reverse=longest_first)
    history.events += [history.summary(said[0], end, None) for end in [*ends, said[30]]]
    assert [event for event in chosen(history.events) if event.actions.compaction] == history.events[-1:]


def test_the_newest_summary_stays_though_another_contains_it() -> None:
    """ADK's next summary begins after it."""
    history = conversation(20)
    said = [event.timestamp for event in history.events]
    history.events += [history.summary(said[0], said[30], None), history.summary(said[5], said[20], None)]
    assert [event for event in chosen(history.events) if event.actions.compaction] == history.events[-2:]


def test_the_last_words_of_each_author_stay() -> None:
    """Among what summaries replace: ADK looks there for an agent's cache, and for its last interaction."""
    history = conversation(0)
    interaction = history._say("helper", "First", invocation_id="begin", interaction_id="one")
    last = history._say("helper", "Last", invocation_id="begin")
    asked = history._say("user", "Do much", invocation_id="long turn")
    for number in range(80):
        history._say("root", f"Step {number}", invocation_id="long turn")
    history.events.append(history.summary(1000.0, history.now, None))
    part = chosen(history.events)
    assert part[:3] == [interaction, last, asked] and len(part) < 70


def test_the_newest_answer_of_the_user_stays() -> None:
    """An agent without history begins its turn before the call that was answered."""
    history = conversation(0)
    history._call("root", ["call"], long_running=True, invocation_id="begin")
    history._say("helper", "What colour?", invocation_id="begin", isolation_scope="task")
    history._respond("user", ["call"], invocation_id="answer")
    for _ in range(5):
        history._text()
    history.events.append(history.summary(1000.0, history.now, None))
    assert_same_request(history.events, chosen(history.events), "none")


@pytest.mark.parametrize("name", ["adk_request_input", "adk_request_credential"])
def test_what_adk_asks_the_user_for_waits_for_an_answer_though_it_is_not_marked(name: str) -> None:
    """Events of older versions of ADK have no `long_running_tool_ids` for these calls."""
    history = conversation(0)
    history._call("root", ["asked"], name=name, invocation_id="begin")
    asked = history.events[-1]
    for _ in range(5):
        history._text()
    history.events.append(history.summary(1000.0, history.now, None))
    assert asked in chosen(history.events)


@pytest.mark.parametrize("branch", [None, "root.other"])
def test_a_newer_call_with_the_id_of_one_that_waits_stays(branch: str | None) -> None:
    """ADK takes what the user answers next for a response to it."""
    history = conversation(0)
    history._call("root", ["call"], long_running=True, invocation_id="first")
    history._call("other", ["call"], invocation_id="second", branch=branch)
    for _ in range(5):
        history._text()
    history.events.append(history.summary(1000.0, history.now, None))
    answer = history.user_event(history.response(["call"], "ready"))
    assert_same_request([*history.events, answer], [*chosen(history.events), answer])


def test_the_turn_of_a_call_that_was_answered_stays_with_the_answer() -> None:
    """An agent without history begins where that turn did, also when the user answers another call."""
    history = conversation(2)
    history._say("user", "Paint", invocation_id="paint")
    history._call("other", ["paint"], long_running=True, invocation_id="paint")
    for _ in range(5):
        history._text()
    history._say("user", "Clean", invocation_id="clean")
    history._call("root", ["clean"], long_running=True, invocation_id="clean")
    history._respond("user", ["paint"], invocation_id="answer")
    history.events.append(history.summary(1000.0, history.now, None))
    part = chosen(history.events)
    answer = history.user_event(history.response(["clean"], "ready"))
    assert_same_request([*history.events, answer], [*part, answer], "none")


def test_the_call_of_a_tool_that_still_speaks_stays() -> None:
    """Else ADK sends the model what the tool says to the user."""
    history = conversation(0)
    history._call("root", ["call"], invocation_id="begin")
    for _ in range(5):
        history._text()
    history.events.append(history.summary(1000.0, history.now, None))
    history.now += 1
    history._say("root", "Working at it", invocation_id="begin", branch="search@call")
    assert_same_request(history.events, chosen(history.events))


def test_of_short_turns_the_newest_three_stay() -> None:
    """ADK's next summary may begin with them."""
    history = conversation(20)
    asked = [event for event in history.events if event.author == "user"]
    history.events.append(history.summary(1000.0, history.now, None))
    part = chosen(history.events)
    assert [event for event in part if event in asked] == asked[-3:]


def test_of_a_long_turn_only_the_newest_events_stay_and_the_call_that_was_answered_since() -> None:
    history = conversation(0)
    for number in range(100):
        history._say("root", f"Step {number}", invocation_id="turn")
    history._call("root", ["call"], invocation_id="turn")
    history.events.append(history.summary(1000.0, history.now, None))
    history.now += 1
    history._respond("root", ["call"], invocation_id="turn")
    part = chosen(history.events)
    assert_same_request(history.events, part)
    assert len(part) < 70


def test_events_without_an_invocation_are_not_the_turn_of_a_call_that_waits() -> None:
    history = conversation(0)
    history._call("root", ["call"], long_running=True)
    for number in range(100):
        history._say("root", f"Step {number}")
    history.events.append(history.summary(1000.0, history.now, None))
    part = chosen(history.events)
    assert part[0] is history.events[0] and len(part) < 70


def test_what_aborted_a_turn_is_left_out_with_it() -> None:
    history = conversation(0)
    aborted = history._made("root", None, invocation_id="begin", error_code="INVOCATION_ABORTED")
    history.events.append(aborted)
    for _ in range(10):
        history._text()
    history._say("root", "Last", invocation_id="end")
    history.events.append(history.summary(1000.0, history.now, None))
    assert aborted not in chosen(history.events)


@pytest.mark.parametrize("target", ["unknown", "later"])
def test_a_rewind_to_what_is_not_before_it_takes_nothing_back(target: str) -> None:
    history = conversation(5)
    actions = EventActions(rewind_before_invocation_id=target)
    history.events.append(history._made("user", None, invocation_id="rewind", actions=actions))
    history._say("user", "Later", invocation_id="later")
    assert_same_request(history.events, chosen(history.events))
    assert len(chosen(history.events)) == 11


def summarised(history: RandomHistory) -> None:
    """Adds turns of all agents, and summaries that replace all there is in each isolation scope."""
    for agent in AGENTS * 2:
        history._say(agent, "Later", **history._turn())
    for scope in (None, "task"):
        history.events.append(history.summary(1000.0, history.now, scope))
    history.now += 1


@pytest.mark.parametrize(
    ("one", "other"),
    [({"branch": "root.helper"}, {"branch": "root.other"}), ({"isolation_scope": "task"}, {})],
    ids=["branches", "scopes"],
)
def test_the_call_that_a_response_belongs_to_stays_though_its_id_is_used_elsewhere(
    one: dict[str, str], other: dict[str, str]
) -> None:
    history = conversation(0)
    history._call("helper", ["call"], invocation_id="one", **one)
    history._call("other", ["call"], invocation_id="two", **other)
    summarised(history)
    history._respond("helper", ["call"], invocation_id="one", **one)
    assert_same_request(history.events, chosen(history.events))


def test_the_first_call_with_the_id_of_a_task_stays() -> None:
    """ADK tells the agent its task from there."""
    history = conversation(0)
    for task in ("Paint", "Clean"):
        history._call("root", ["task"], name="helper", invocation_id=task)
        history.events[-1].get_function_calls()[0].args = {"do": task}
    summarised(history)
    history._say("helper", "What colour?", invocation_id="Paint", isolation_scope="task")
    assert_same_request(history.events, chosen(history.events))
