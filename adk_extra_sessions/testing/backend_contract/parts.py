"""The contract of `ReadsParts`: reading by outlines, and storing them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from adk_extra_sessions.backends.base import ReadsParts
from adk_extra_sessions.history.outline import NewOutline, Outline, Part
from adk_extra_sessions.testing.backend_contract.samples import KEY, append, appended, created, read, record


def read_part(backend: ReadsParts, name: Any = "compacted", recent: int | None = None) -> Part:
    """Reads a part of a session that must be there."""
    found = backend.read_part(KEY, name, recent)
    assert found is not None
    return found


def store_outline(backend: ReadsParts, outline: Outline, name: Any = "compacted") -> None:
    """Stores an outline of all events that are there."""
    found = read_part(backend, None)
    assert found.newest is not None
    backend.store_outline(KEY, NewOutline(name, outline, found.start_revision, found.newest))


class ReadsPartsContract:
    """The events that an outline names are read, and all later ones."""

    @pytest.mark.parametrize("count", [4, 150])
    def test_without_an_outline_all_is_read(self, session_backend: ReadsParts, count: int) -> None:
        new = created(session_backend, state={"own": 1})
        events = appended(session_backend, [str(number) for number in range(count)])
        for name in ("compacted", "waiting", None):
            found = read_part(session_backend, name)
            assert bodies(found) == {place: event.body for place, event in enumerate(events)}
            assert (found.first, found.end, found.long_running, found.outline) == (0, count, 0, None)
            assert found.complete and found.newest == events[-1].digest
            assert found.start_revision == new.revision
            assert (found.record.revision, found.record.state) == (new.revision + count, {"own": 1})
            assert not found.record.bodies

    @pytest.mark.parametrize("count", [8, 150, 400])
    def test_by_an_outline_what_it_keeps_is_read_and_all_from_its_start_on(
        self, session_backend: ReadsParts, count: int
    ) -> None:
        created(session_backend)
        events = appended(session_backend, [str(number) for number in range(count)])
        middle = count // 2
        outline = Outline(count, 0, count - 2, ((0, 1), (middle, middle), (count - 4, count - 4)))
        store_outline(session_backend, outline)
        wanted = {0, 1, middle, count - 4, count - 2, count - 1}
        found = read_part(session_backend)
        assert set(bodies(found)) == wanted and found.outline == outline and not found.complete
        append(session_backend, [record("later", 900.0)])
        found = read_part(session_backend)
        assert set(bodies(found)) == wanted | {count}
        assert all(bodies(found)[place] == events[place].body for place in wanted)
        assert len(bodies(read_part(session_backend, None))) == count + 1

    @pytest.mark.parametrize("count", [6, 150])
    def test_with_a_number_the_newest_are_read_and_what_an_outline_keeps(
        self, session_backend: ReadsParts, count: int
    ) -> None:
        created(session_backend)
        appended(session_backend, [str(number) for number in range(count)])
        assert set(bodies(read_part(session_backend, "waiting", 3))) == {count - 3, count - 2, count - 1}
        store_outline(session_backend, Outline(count, 1, count, ((1, 2), (count - 2, count - 2))), "waiting")
        assert set(bodies(read_part(session_backend, "waiting", 1))) == {1, 2, count - 2, count - 1}
        assert set(bodies(read_part(session_backend, "waiting", 3))) == {1, 2, count - 3, count - 2, count - 1}
        assert set(bodies(read_part(session_backend, "waiting", 0))) == {1, 2, count - 2}
        assert len(bodies(read_part(session_backend, "waiting", count + 5))) == count
        assert len(bodies(read_part(session_backend, "compacted"))) == count

    def test_calls_of_long_running_tools_are_counted(self, session_backend: ReadsParts) -> None:
        created(session_backend)
        calls = [evolve(record(str(number), 200.0 + number), changes_waiting=number != 1) for number in range(3)]
        append(session_backend, calls)
        append(session_backend, [calls[2]])
        append(session_backend, [record("no call", 300.0)])
        append(session_backend, [evolve(record("later", 301.0), changes_waiting=True)])
        assert read_part(session_backend).long_running == 3

    def test_an_outline_changes_nothing_else(self, session_backend: ReadsParts) -> None:
        created(session_backend, state={"own": 1})
        appended(session_backend, ["one", "two"])
        before = read(session_backend)
        store_outline(session_backend, Outline(2, 0, 1))
        assert read(session_backend) == before

    def test_an_outline_of_other_events_is_not_stored(self, session_backend: ReadsParts) -> None:
        created(session_backend)
        events = appended(session_backend, ["one", "two"])
        found = read_part(session_backend)
        outline = Outline(2, 0, 1)
        session_backend.store_outline(KEY, NewOutline("compacted", outline, found.start_revision, events[0].digest))
        session_backend.store_outline(KEY, NewOutline("compacted", outline, found.start_revision + 1, events[1].digest))
        assert read_part(session_backend).outline is None

    def test_an_outline_goes_with_its_session(self, session_backend: ReadsParts) -> None:
        created(session_backend)
        appended(session_backend, ["one", "two"])
        found = read_part(session_backend)
        assert found.newest is not None
        session_backend.delete(KEY)
        session_backend.store_outline(
            KEY, NewOutline("compacted", Outline(2, 0, 1), found.start_revision, found.newest)
        )
        assert session_backend.read_part(KEY, "compacted", None) is None
        created(session_backend)
        assert read_part(session_backend).outline is None

    def test_a_session_without_events(self, session_backend: ReadsParts) -> None:
        created(session_backend)
        for recent in (None, 0, 5):
            found = read_part(session_backend, "waiting", recent)
            assert (bodies(found), found.first, found.end, found.newest) == ({}, 0, 0, None)


def bodies(part: Part) -> dict[int, bytes]:
    """Returns the bodies of a part by position."""
    found = [body for run in part.runs for body in run.bodies]
    texts = (body.encode() if isinstance(body, str) else bytes(body) for body in found)
    return dict(zip(part.positions, texts, strict=True))
