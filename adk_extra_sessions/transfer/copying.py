"""Copies items to a place, or compares them with it; yields one result for each item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial

from attrs import field, frozen

from adk_extra_sessions.errors import AlreadyExistsError, ConfigurationError, CorruptRecordError, SessionFileError
from adk_extra_sessions.transfer.comparing import events_to_copy, session_differences, state_differences
from adk_extra_sessions.transfer.copying_details import changed_details
from adk_extra_sessions.transfer.items import Item, SharedStateItem
from adk_extra_sessions.transfer.places import Place
from adk_extra_sessions.transfer.workers import each


class Outcome(Enum):
    """What happened to an item, or what would happen in a dry run.

    STATE: shared state was written. GONE: the session was deleted from the source after it was listed.
    WRITTEN: the session was written to a file.
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
    """The result for one item.

    Attributes:
        item: The session, or the shared state.
        outcome: What happened to it.
        events: How many events were written or compared.
        problems: What went wrong or differs; without values.
    """

    item: Item
    outcome: Outcome
    events: int = 0
    problems: Sequence[str] = field(factory=tuple)


def copy_items(items: Iterable[Item], destination: Place) -> Iterator[Result]:
    """Copies sessions and shared state exactly; after an interruption it can be run again.

    A session that the destination has already is not changed; an incomplete copy
    is completed. If the destination has a different session with the same id, or
    an item cannot be read or stored, its result is FAILED and the others are
    still copied. If a server cannot be reached, the copy ends with the error.
    Shared state replaces that of the destination, key by key.

    Args:
        items: From `Place.items` or `read_items`.
        destination: The place to copy to.
    """
    return each(partial(attempt, partial(_copy, destination)), items, destination.jobs)


def plan_items(items: Iterable[Item], destination: Place) -> Iterator[Result]:
    """Yields what `copy_items` would do; writes nothing."""
    return each(partial(attempt, partial(_plan, destination)), items, destination.jobs)


def verify_items(items: Iterable[Item], destination: Place) -> Iterator[Result]:
    """Compares every session, event and shared state with what the destination has.

    Sessions that only the destination has are not reported.

    Yields:
        SAME or DIFFERENT for each item.
    """
    return each(partial(attempt, partial(_verify, destination)), items, destination.jobs)


def attempt(work: Callable[[Item], Result], item: Item) -> Result:
    """Returns `work(item)`, or FAILED if the item cannot be read or stored.

    Args:
        work: What to do with the item.
        item: The item.
    """
    try:
        return work(item)
    except (ConfigurationError, SessionFileError):  # every other item would fail too
        raise
    except (ValueError, CorruptRecordError, AlreadyExistsError) as error:
        return Result(item, Outcome.FAILED, problems=[str(error) or type(error).__name__])


def _copy(destination: Place, item: Item) -> Result:
    if isinstance(item, SharedStateItem):
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
        coming = events_to_copy(source.session, source.events, found.session, found.events)
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
