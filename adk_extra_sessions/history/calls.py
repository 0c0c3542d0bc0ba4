"""Function calls and their responses in a history: which belong together, and which calls still wait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from attrs import define, field
from google.adk.events import Event

from adk_extra_sessions.history.rewinds import is_rewind

_REQUESTS = frozenset({"adk_request_input", "adk_request_credential"})
"""Calls of ADK's own that wait for the user, also where an older ADK did not mark them as long-running."""


def long_running_ids(event: Event) -> set[str]:
    """Returns the ids of an event's calls that wait for an answer from outside the run."""
    marked = set(event.long_running_tool_ids or ())
    return marked | {call.id for call in event.get_function_calls() if call.id and call.name in _REQUESTS}


def changes_waiting(event: Event) -> bool:
    """Whether an event may change which calls wait: it makes one, is the user's answer to one, or takes others back."""
    is_answer = event.author == "user" and bool(response_ids(event))
    return bool(long_running_ids(event)) or is_answer or is_rewind(event)


def response_ids(event: Event) -> list[str]:
    """Returns the ids of the calls that an event responds to."""
    return [response.id for response in event.get_function_responses() if response.id]


def run_ids(event: Event) -> Iterator[str]:
    """Yields the ids of runs in an event's branch; that of a tool's run is the id of the tool's call."""
    for segment in (event.branch or "").split("."):
        _, at, run_id = segment.rpartition("@")
        if at:
            yield run_id


@define
class Calls:
    """The calls of a history, by index of their events.

    A model may use an id again, and which call ADK then takes a response for
    depends on the branch that it looks from: the newest call of each branch counts.

    Attributes:
        made: The events with calls of an id in an isolation scope, the newest of each branch.
        named: The first event with a call of an id.
        callers: For each event with responses, those that called.
        responses: For each event with calls, those with the responses.
        waiting: By id and scope, the newest call of a long-running tool that the user has not answered yet.
        turns: For each event, those of its invocation; itself alone if it has none.
    """

    made: defaultdict[tuple[str, str | None], dict[str | None, int]] = field(factory=lambda: defaultdict(dict))
    named: dict[str, int] = field(factory=dict)
    callers: defaultdict[int, set[int]] = field(factory=lambda: defaultdict(set))
    responses: defaultdict[int, set[int]] = field(factory=lambda: defaultdict(set))
    waiting: dict[tuple[str, str | None], int] = field(factory=dict)
    turns: dict[int, list[int]] = field(factory=dict)

    @classmethod
    def of(cls, events: Sequence[Event], chosen: Iterable[int]) -> Calls:
        """Finds those of a history.

        Args:
            events: The history in order.
            chosen: The indexes of those to look at, ascending.
        """
        calls = cls()
        by_invocation: defaultdict[str | int, list[int]] = defaultdict(list)
        for index in chosen:
            turn = by_invocation[events[index].invocation_id or index]
            turn.append(index)
            calls.turns[index] = turn
            calls._add(index, events[index])
        return calls

    def _add(self, index: int, event: Event) -> None:
        scope = event.isolation_scope
        for call in event.get_function_calls():
            if call.id:
                self.made[call.id, scope][event.branch] = index
                self.named.setdefault(call.id, index)
        for response in response_ids(event):
            for caller in self.made.get((response, scope), {}).values():
                self.callers[index].add(caller)
                self.responses[caller].add(index)
            if event.author == "user":
                self.waiting.pop((response, scope), None)
        self.waiting.update(((waiting, scope), index) for waiting in long_running_ids(event))

    def that_wait(self) -> set[int]:
        """Returns the events with calls that wait, and with newer calls of the same ids."""
        newer = {index for one in self.waiting for index in self.made.get(one, {}).values()}
        return newer.union(self.waiting.values())

    def turns_that_wait(self) -> set[int]:
        """Returns all events of the turns of the calls that wait."""
        return {index for one in self.that_wait() for index in self.turns[one]}
