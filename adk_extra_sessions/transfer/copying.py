"""Copying items to a place, and comparing what is there with them: one result an item, as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial

from attrs import field, frozen

from adk_extra_sessions.errors import AlreadyExistsError, ConfigurationError, CorruptRecordError, SessionFileError
from adk_extra_sessions.transfer.comparing import not_yet_there, session_differences, state_differences
from adk_extra_sessions.transfer.details import changed_details
from adk_extra_sessions.transfer.items import Item, SharedStateItem
from adk_extra_sessions.transfer.places import Place
from adk_extra_sessions.transfer.workers import each


class Outcome(Enum):
    """What became of an item, or in a dry run would.

    STATE: shared state was written. GONE: deleted from the source since it was listed.
    WRITTEN: to a file.
    """

    CREATED = "created"
    CONTINUED = "continued"
    SAME = "the same"
    STATE = "state"
    WRITTEN = "written"
    GONE = "gone"
    DIFFERENT = "different"
    FAILED = "failed"


@frozen
class Result:
    """What became of an item.

    Attributes:
        item: The session, or the shared state.
        outcome: In a word.
        events: How many events were written, or compared.
        problems: What went wrong, or differs; no values.
    """

    item: Item
    outcome: Outcome
    events: int = 0
    problems: Sequence[str] = field(factory=tuple)


def copy_items(items: Iterable[Item], destination: Place) -> Iterator[Result]:
    """Copies sessions and shared state, exactly, and so that it can be run again after a break.

    A session that is there already is left alone, one whose copy broke off is
    continued. Where another session is in the way, or something cannot be read
    or stored, the result is FAILED and the others go on; a server that cannot
    be reached ends it all. Shared state replaces the destination's key by key.

    Args:
        items: Of `Place.items` or `read_items`.
        destination: Where to.
    """
    return each(partial(guarded, partial(_copy, destination)), items, destination.jobs)


def plan_items(items: Iterable[Item], destination: Place) -> Iterator[Result]:
    """Tells what `copy_items` would do, and writes nothing."""
    return each(partial(guarded, partial(_plan, destination)), items, destination.jobs)


def verify_items(items: Iterable[Item], destination: Place) -> Iterator[Result]:
    """Compares every session, event and shared state with what the destination has.

    What only the destination has is not looked for, save within a session.

    Yields:
        SAME or DIFFERENT for each item.
    """
    return each(partial(guarded, partial(_verify, destination)), items, destination.jobs)


def guarded(work: Callable[[Item], Result], item: Item) -> Result:
    """Returns the result of working on an item: FAILED where it cannot be read or stored.

    Args:
        work: What to do.
        item: What with.
    """
    try:
        return work(item)
    except (ConfigurationError, SessionFileError):  # concerns all that would follow
        raise
    except (ValueError, CorruptRecordError, AlreadyExistsError) as error:
        return Result(item, Outcome.FAILED, problems=[str(error) or type(error).__name__])


def _copy(destination: Place, item: Item) -> Result:
    if isinstance(item, SharedStateItem):
        if item.state:
            destination.write_shared_state(item.app_name, item.user_id, item.state)
        return Result(item, Outcome.STATE)
    with item.reading() as source:
        if source is None:
            return Result(item, Outcome.GONE)
        restored = destination.restore(source.session, source.events)
    return Result(item, Outcome(restored.status.value), restored.events)


def _plan(destination: Place, item: Item) -> Result:
    if isinstance(item, SharedStateItem):
        return Result(item, Outcome.STATE)
    with item.reading() as source:
        if source is None:
            return Result(item, Outcome.GONE)
        found = destination.stream(item.key)
        if found is None:
            return Result(item, Outcome.CREATED, source.count)
        coming = not_yet_there(source.session, source.events, found.session, found.events)
        new = sum(1 for _ in coming)
        changed = new or any(changed_details(source.session, found.session))
    return Result(item, Outcome.CONTINUED if changed else Outcome.SAME, new)


def _verify(destination: Place, item: Item) -> Result:
    if isinstance(item, SharedStateItem):
        there = destination.shared_state(item.app_name, item.user_id)
        problems = state_differences(item.state, {key: there[key] for key in item.state if key in there})
        return Result(item, Outcome.DIFFERENT if problems else Outcome.SAME, problems=problems)
    with item.reading() as source:
        if source is None:
            return Result(item, Outcome.GONE)
        found = destination.stream(item.key)
        if found is None:
            return Result(item, Outcome.DIFFERENT, problems=["it is missing"])
        problems = list(session_differences(source.session, source.events, found.session, found.events))
    return Result(item, Outcome.DIFFERENT if problems else Outcome.SAME, source.count, problems)
