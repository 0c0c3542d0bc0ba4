"""Random histories, such as agents, people and ADK's compaction leave behind."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

from google.adk.events import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.genai import types

from adk_extra_sessions.history.rewinds import live

EXAMPLES = int(os.environ.get("ADK_EXTRA_SESSIONS_EXAMPLES", 0))
_first = random.randrange(10**9) if EXAMPLES else 0

SEEDS = range(_first, _first + (EXAMPLES or 25))
"""Of the histories that a test tries; ADK_EXTRA_SESSIONS_EXAMPLES=2000 tries as many, others each time."""

AGENTS = ["root", "helper", "other"]
BRANCHES = [None, None, None, "root.helper", "root.other", "root.other.helper"]


class RandomHistory:
    """A history that grows by random turns.

    Attributes:
        events: What there is of it.
        waiting: Ids of calls of long-running tools without an answer, and the branch and scope of each.
    """

    def __init__(self, chance: random.Random, rewinds: bool = True) -> None:
        self.chance = chance
        self.events: list[Event] = []
        self.now = 1000.0
        self.number = 0
        self.waiting: dict[str, tuple[str | None, str | None]] = {}
        self.reused_ids = chance.random() < 0.3
        self.rewinds = rewinds
        self.unsteady_clock = chance.random() < 0.3

    def grow(self, turns: int) -> None:
        """Adds some turns."""
        for _ in range(turns):
            kinds = [self._text, self._tools, self._tools, self._long_running, self._answer, self._parallel, self._task]
            kinds += [self._interleaved, self._summary, self._summary, self._summary, self._rewind, self._tool_messages]
            self.chance.choice(kinds)()

    def there(self) -> list[Event]:
        """Returns the events that no rewind has taken back."""
        return [self.events[index] for index in live(self.events)]

    def answers(self) -> Iterator[tuple[str, Event]]:
        """Makes the user's answer to each call that waits, without adding it."""
        there = {one for event in self.there() for one in event.long_running_tool_ids or ()}
        for one in sorted(there & set(self.waiting)):
            branch, scope = self.waiting[one]
            yield one, self.user_event(self.response([one], "ready"), branch=branch, isolation_scope=scope)

    def user_event(self, content: types.Content | None = None, **fields: Any) -> Event:
        """Makes the event of what the user says next, without adding it."""
        content = content or types.Content(role="user", parts=[types.Part(text="Hello")])
        return self._made("user", content, invocation_id=f"turn{self._next()}", **fields)

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _made(self, author: str, content: types.Content | None, **fields: Any) -> Event:
        steps = [0.0, 0.5, 1.0, 1.0, 1.0, *([-3.0, 20.0] if self.unsteady_clock else [])]
        self.now += self.chance.choice(steps)
        return Event(id=f"e{self._next()}", author=author, content=content, timestamp=self.now, **fields)

    def _say(self, author: str, text: str, **fields: Any) -> Event:
        role = "user" if author == "user" else "model"
        event = self._made(author, types.Content(role=role, parts=[types.Part(text=text)]), **fields)
        self.events.append(event)
        return event

    def _turn(self) -> dict[str, Any]:
        fields = {"invocation_id": f"turn{self._next()}"}
        self._say("user", f"Question {self.number}", **fields)
        return fields

    def _call_id(self) -> str:
        return f"call{self.chance.randrange(3)}" if self.reused_ids else f"call{self._next()}"

    def _call(
        self, author: str, ids: list[str], long_running: bool = False, name: str = "search", **fields: Any
    ) -> None:
        parts = [types.Part(function_call=types.FunctionCall(id=one, name=name, args={"for": one})) for one in ids]
        marked = set(ids) if long_running else None
        content = types.Content(role="model", parts=parts)
        self.events.append(self._made(author, content, long_running_tool_ids=marked, **fields))

    def response(self, ids: list[str], result: str, name: str = "search") -> types.Content:
        """Makes what a tool, or the user, responds to calls."""
        made = [types.FunctionResponse(id=one, name=name, response={"result": result}) for one in ids]
        return types.Content(role="user", parts=[types.Part(function_response=one) for one in made])

    def _respond(self, author: str, ids: list[str], result: str = "done", **fields: Any) -> None:
        self.events.append(self._made(author, self.response(ids, result), **fields))

    def _text(self) -> None:
        fields = self._turn()
        self._say(self.chance.choice(AGENTS), "Answer", **fields)

    def _tools(self) -> None:
        fields = self._turn()
        author, branch = self.chance.choice(AGENTS), self.chance.choice(BRANCHES)
        for _ in range(self.chance.randint(1, 3)):
            ids = [self._call_id() for _ in range(self.chance.choice([1, 1, 2]))]
            self._call(author, ids, branch=branch, **fields)
            if self.chance.random() < 0.1:
                return  # interrupted
            if self.chance.random() < 0.2:
                self._summary()  # ADK compacts within long turns, too
            self._respond(author, ids, branch=branch, **fields)
        self._say(author, "Found", branch=branch, **fields)

    def _long_running(self) -> None:
        fields = self._turn()
        author, branch = self.chance.choice(AGENTS), self.chance.choice(BRANCHES)
        ids = [self._call_id() for _ in range(self.chance.choice([1, 2]))]
        self._call(author, ids, long_running=True, branch=branch, **fields)
        if self.chance.random() < 0.7:
            self._respond(author, ids, "pending", branch=branch, **fields)
            self._say(author, "It will take a while", branch=branch, **fields)
        self.waiting.update(dict.fromkeys(ids, (branch, None)))

    def _answer(self) -> None:
        if self.waiting:
            one = self.chance.choice(sorted(self.waiting))
            branch, scope = self.waiting.pop(one)
            fields = {"invocation_id": f"turn{self._next()}", "branch": branch, "isolation_scope": scope}
            self._respond("user", [one], "ready", **fields)
            self._say(self.chance.choice(AGENTS), "It is ready", **fields)

    def _parallel(self) -> None:
        fields = self._turn()
        called: list[tuple[str, str, list[str]]] = []
        for agent in ("helper", "other"):
            ids = [self._call_id()]
            self._call(agent, ids, branch=f"root.{agent}", **fields)
            called.append((agent, f"root.{agent}", ids))
        self.chance.shuffle(called)
        for agent, branch, ids in called:
            self._respond(agent, ids, branch=branch, **fields)
            self._say(agent, "My part", branch=branch, **fields)

    def _task(self) -> None:
        """An agent that works at a task of its own, which others do not see."""
        fields = self._turn()
        task = f"task{self._next()}"
        self._call("root", [task], name="helper", **fields)
        scoped = {**fields, "isolation_scope": task}
        self._say("helper", "What colour?", **scoped)
        if self.chance.random() < 0.3:
            self._summary(scope=task)
        if self.chance.random() < 0.5:
            self._say("user", "Blue", **scoped)
            ids = [self._call_id()]
            self._call("helper", ids, name="finish_task", **scoped)
            self.events.append(self._made("helper", self.response(ids, "Task completed.", "finish_task"), **scoped))
            self._respond("root", [task], **fields)

    def _interleaved(self) -> None:
        """Two turns at once."""
        one, two = self._turn(), self._turn()
        ids, others = [self._call_id()], [self._call_id()]
        self._call("root", ids, **one)
        self._call("root", others, **two)
        self._respond("root", ids, **one)
        self._say("root", "Done", **one)
        self._respond("root", others, **two)
        self._say("root", "Done too", **two)

    def _tool_messages(self) -> None:
        """A tool that says something itself, on a branch named after its call."""
        fields = self._turn()
        ids = [self._call_id()]
        self._call("root", ids, **fields)
        if self.chance.random() < 0.5:
            self._summary()
        self._say("root", "Working at it", branch=f"search@{ids[0]}", **fields)
        self._respond("root", ids, **fields)

    def _summary(self, scope: str | None = None) -> None:
        """A summary, mostly from the beginning or from the last one on, and up to about now."""
        seen = [event.timestamp for event in self.events if event.isolation_scope == scope]
        if not seen:
            return
        ends = [event.actions.compaction.end_timestamp for event in self.events if event.actions.compaction]
        first, last = seen[0], seen[max(-len(seen), -self.chance.choice([1, 1, 2, 5, 9]))]
        start = self.chance.choice([first, first, ends[-1] if ends else first, self.chance.choice(seen)])
        branch = "root.helper" if self.chance.random() < 0.1 else None
        self.events.append(self.summary(start, last, scope, branch))

    def summary(self, start: float, end: float, scope: str | None, branch: str | None = None) -> Event:
        """Makes a summary of what was said between two times, without adding it."""
        content = types.Content(role="model", parts=[types.Part(text=f"Summary {self._next()}")])
        compaction = EventCompaction(start_timestamp=start, end_timestamp=end, compacted_content=content)
        fields = {"invocation_id": f"summary{self.number}", "isolation_scope": scope, "branch": branch}
        return self._made("user", None, actions=EventActions(compaction=compaction), **fields)

    def _rewind(self) -> None:
        turns = sorted({event.invocation_id for event in self.events[-40:] if not event.actions.compaction})
        if turns and self.rewinds and self.chance.random() < 0.5:
            actions = EventActions(rewind_before_invocation_id=self.chance.choice(turns))
            self.events.append(self._made("user", None, invocation_id=f"turn{self._next()}", actions=actions))
