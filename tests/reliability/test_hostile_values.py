"""Values at the edges of JSON and BSON, and very large ones: back exactly, or refused before anything is written."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.genai import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.growing import growing

from adk_extra_sessions import MongoSessionStore, SessionStore
from adk_extra_sessions.errors import EventTooLargeError, EventValueError, StateValueError
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}
MB = 1_000_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
meaningful = st.sampled_from(
    ["", "$", "a.b", ".", "$set", "$gt", "$date", "$oid", "$ref", "$id", "$numberLong", "$binary", "_json", "_id", "\0"]
)
edges = st.sampled_from(
    [2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400, -0.0, 1e308, 5e-324, 1.0, "null", "NaN", "$date"]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts | edges
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | meaningful, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=50, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=json_values, other=json_values)
def test_what_json_holds_comes_back_exactly(store: SessionStore, value: Any, other: Any) -> None:
    store.delete_session(**NAMES)
    state = {"key": value, "user:key": value, "app:key": value}
    session = store.create_session(**NAMES, state=state)
    assert shown(session.state) == shown(state)
    delta = {"key": other, "user:key": other, "app:key": other, "value": value}
    args = {"value": value, "list": [other]}
    event = Event(
        author="agent",
        custom_metadata=args,
        content=types.Content(role="model", parts=[types.Part(function_call=types.FunctionCall(name="f", args=args))]),
        actions=EventActions(state_delta=delta),
    )
    sent = repr(event)
    store.append_event(session, event)
    assert repr(event) == sent
    found = store.get_session(**NAMES)
    assert found is not None
    assert shown(found.state) == shown(delta)
    assert repr(found.events) == f"[{sent}]"
    (listed,) = store.list_sessions(app_name=APP).sessions
    assert shown(listed.state) == shown(found.state)


def shown(state: dict[str, Any]) -> dict[str, str]:
    """Makes 1 and 1.0, 0.0 and -0.0 differ, and NaN equal itself."""
    return {key: repr(value) for key, value in state.items()}


class Colour(enum.Enum):
    RED = "red"


FORMS: dict[str, tuple[Any, Any]] = {
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "time": (datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), "2026-01-02T00:00:00Z"),
    "duration": (datetime.timedelta(seconds=90), "PT1M30S"),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "uuid": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "enum": (Colour.RED, "red"),
    "frozen-set": (frozenset({1}), [1]),
    "integer-keys": ({1: {2: "a"}}, {"1": {"2": "a"}}),
    "date-in-a-list": ([datetime.date(2026, 1, 2)], ["2026-01-02"]),
}


def test_what_has_a_json_form_comes_back_in_it(store: SessionStore) -> None:
    given = {name: value for name, (value, _) in FORMS.items()}
    forms = {name: form for name, (_, form) in FORMS.items()}
    session = store.create_session(**NAMES, state=given)
    assert session.state == forms
    store.append_event(session, an_event(delta={f"user:{name}": value for name, value in given.items()}))
    found = store.get_session(**NAMES)
    assert found is not None
    as_user = {f"user:{name}": form for name, form in forms.items()}
    assert found.state == {**forms, **as_user}
    assert found.events[0].actions.state_delta == as_user


class WithoutClass:
    @property
    def __class__(self) -> type:
        raise LookupError("secret")


@pytest.mark.parametrize("make", [growing, WithoutClass], ids=["growing", "without class"])
def test_whatever_a_value_raises_while_it_is_encoded_is_one_error(store: SessionStore, make: Any) -> None:
    with pytest.raises(StateValueError, match="'cart'") as raised:
        store.create_session(**NAMES, state={"cart": make(), "user:other": 1})
    assert "secret" not in str(raised.value) and raised.value.__context__ is None
    assert store.get_session(**NAMES) is None
    session = store.create_session(**NAMES)
    with pytest.raises(StateValueError, match="'cart'"):
        store.append_event(session, an_event(delta={"cart": make(), "user:other": 1}))
    assert store.get_session(**NAMES) == session


def test_a_value_without_a_string_form_is_refused_with_coerce_too(make_store: Callable[..., SessionStore]) -> None:
    store = make_store(unserializable="coerce")
    with pytest.raises(StateValueError, match="and no string form"):
        store.create_session(**NAMES, state={"key": 10**5000})
    assert store.get_session(**NAMES) is None


def test_nesting_comes_back_or_is_refused_at_every_depth(store: SessionStore) -> None:
    session = store.create_session(**NAMES)
    refused = []
    for depth in (20, 24, 25, 26, 49, 50, 51, *range(85, 105), 5000):
        nested: Any = 1
        for _ in range(depth):
            nested = {"a": [nested]}
        try:
            store.append_event(session, an_event(delta={"key": nested, "user:key": depth}))
        except (StateValueError, EventValueError):
            refused.append(depth)
        found = store.get_session(**NAMES)
        assert found is not None and found.events == session.events
        assert found.state == session.state
    assert refused and refused == [*range(refused[0], 105), 5000]


@pytest.mark.parametrize("size", [MB, 15 * MB, 20 * MB], ids=["1MB", "15MB", "20MB"])
def test_large_events_are_stored_or_refused_with_their_size(store: SessionStore, size: int) -> None:
    session = store.create_session(**NAMES)
    before = store.append_event(session, an_event("before"))
    event = an_event("x" * size, delta={"key": 1, "user:key": 1, "app:key": 1})
    if isinstance(store, MongoSessionStore) and size > 16 * MB:
        with pytest.raises(EventTooLargeError, match=r"20,000,\d{3} bytes; the limit is 16,711,680") as refused:
            store.append_event(session, event)
        assert refused.value.size > size
        assert session.events == [before] and session.state == {}
        assert store.backend.chunks.count_documents({}) == 0
    else:
        store.append_event(session, event)
    store.append_event(session, an_event("after"))
    assert store.get_session(**NAMES) == session


def test_a_delta_of_20_000_keys(store: SessionStore, backend: str) -> None:
    count = 2_000 if backend == "fakeredis" else 20_000  # the fake takes a minute
    state = {f"{scope}key {number}": number for scope in ("", "user:", "app:") for number in range(count // 3)}
    session = store.create_session(**NAMES, state=state)
    assert session.state == state
    delta = {key: -number for key, number in state.items()}
    store.append_event(session, an_event(delta=delta))
    found = store.get_session(**NAMES)
    assert found is not None and found.state == session.state == delta
    store.append_event(session, an_event(delta={f"key {number}": "own" for number in range(count)}))
    found = store.get_session(**NAMES)
    assert found is not None and found.state == session.state
    assert len(store.get_user_state(app_name=APP, user_id=USER)) == count // 3
