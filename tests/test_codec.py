"""Events and values to stored text and back."""

from __future__ import annotations

import functools
import math
import pickle
from collections import UserDict
from typing import Any

import pytest
from google.adk.auth.auth_credential import AuthCredential, AuthCredentialTypes, OAuth2Auth
from google.adk.auth.auth_tool import AuthConfig
from google.adk.events import Event
from google.adk.events.event_actions import EventActions
from google.genai import types
from pydantic import BaseModel, model_serializer

from adk_extra_sessions import state_json
from adk_extra_sessions.backends.stored_format import FORMAT, check_format
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.errors import CorruptRecordError, EventValueError, InputValidationError, StateValueError
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import an_event

KEY = SessionKey("app", "user", "one")


def round_trip(event: Event) -> Event:
    (found,) = Codec().decode([Codec().encode(event).body], KEY)
    return found


def test_encoding_leaves_the_event_alone() -> None:
    event = an_event(delta={"temp:a": 1, "b": (1, 2)})
    before = event.model_copy(deep=True)
    record = Codec().encode(event)
    assert event == before and event.actions.state_delta["b"] == (1, 2)
    assert b"temp:" not in record.body
    assert dict(record.state.session) == {"b": "[1,2]"}


def test_state_and_history_are_of_one_form() -> None:
    class Model(BaseModel):
        score: float

    delta = {"model": Model(score=math.nan), "set": {1.5}, "text": b"a", "int": {1: math.inf}}
    record = Codec().encode(an_event(delta=delta))
    (found,) = Codec().decode([record.body], KEY)
    state = {key: state_json.decode_value(text) for key, text in record.state.session.items()}
    assert repr(found.actions.state_delta) == repr(state)
    assert math.isnan(state["model"]["score"]) and state["int"] == {"1": math.inf}


@pytest.mark.parametrize("place", ["metadata", "args", "logprobs", "output", "agent_state"])
def test_non_finite_numbers_survive_anywhere(place: str) -> None:
    call = types.FunctionCall(name="f", args={"x": [None, math.nan, {"y": -math.inf}]})
    events: dict[str, Event] = {
        "metadata": an_event(custom_metadata={"a": {"b": [math.inf]}, "none": None}),
        "args": Event(author="a", content=types.Content(parts=[types.Part(function_call=call)])),
        "logprobs": an_event(avg_logprobs=math.nan),
        "output": an_event(output=(math.nan, 1)),
        "agent_state": Event(author="a", actions=EventActions(agent_state={"x": math.inf})),
    }
    found = round_trip(events[place])
    text = repr(found.model_dump(mode="python", exclude_none=True))
    assert "nan" in text or "inf" in text


def test_optional_fields_with_a_default_keep_none() -> None:
    oauth = OAuth2Auth(client_id="id", token_endpoint_auth_method=None)
    credential = AuthCredential(auth_type=AuthCredentialTypes.OAUTH2, oauth2=oauth)
    scheme = {"type": "http", "scheme": "bearer"}
    config = AuthConfig.model_validate({"authScheme": scheme, "rawAuthCredential": credential})
    event = Event(author="a", actions=EventActions(requested_auth_configs={"call": config}))
    found = round_trip(event).actions.requested_auth_configs["call"].raw_auth_credential
    assert found is not None and found.oauth2 is not None
    assert found.oauth2.token_endpoint_auth_method is None


def test_leaving_none_out_loses_nothing_else() -> None:
    """Of all models in an event, only authentication has optional fields that default to something."""
    seen: set[type[BaseModel]] = set()
    found: set[str] = set()

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
            seen.add(annotation)
            for name, field in annotation.model_fields.items():
                optional = type(None) in getattr(field.annotation, "__args__", ())
                if optional and field.get_default(call_default_factory=True) is not None and not field.is_required():
                    found.add(f"{annotation.__name__}.{name}")
                if name != "requested_auth_configs":
                    walk(field.annotation)
        for argument in getattr(annotation, "__args__", ()):
            walk(argument)

    walk(Event)
    assert found == set() and len(seen) > 30


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(EventValueError, match="the-id") as error:
        Codec().encode(an_event("private \ud800", id="the-id"))
    assert "private" not in str(error.value)


@pytest.mark.parametrize("value", ["deep", "long-number"])
def test_what_no_reader_would_accept_is_not_written(value: str) -> None:
    payload: Any = 10**5000
    if value == "deep":
        payload = 1
        for _ in range(199):
            payload = [payload]
    with pytest.raises(EventValueError):
        Codec().encode(an_event(custom_metadata={"x": payload}))
    with pytest.raises(StateValueError, match="'key'"):
        state_json.encode_value("key", payload)


def test_errors_hold_no_payload() -> None:
    class Secretive:
        def __repr__(self) -> str:
            return "private"

    with pytest.raises(StateValueError) as error:
        state_json.encode_value("key", {"a": ["private", Secretive()]})
    assert "private" not in str(error.value) and "'key'" in str(error.value)
    assert error.value.__cause__ is None and error.value.__context__ is None


class Odd:
    """Has no JSON form, and shows what it holds."""

    def __repr__(self) -> str:
        return "private"


class Order(BaseModel):
    when: Any


CIRCLE: list[Any] = []
CIRCLE.append({"again": CIRCLE})
DEEP: Any = {"deep": functools.reduce(lambda inner, _: [inner], range(230), "private")}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Odd(), "State key 'cart': a value of type Odd has"),
        ({"when": Odd()}, "State key 'cart', at cart['when']: a value of type Odd has"),
        (["private", {"a": [0, 1, "private", Odd()]}], "at cart[1]['a'][3]: a value of type Odd has"),
        ({"a": {1: (Odd(),)}}, "at cart['a'][1][0]: a value of type Odd has"),
        ({"a": {Odd(): "private"}}, "at cart['a']: a key of type Odd has"),
        ({"a": {Odd()}}, "at cart['a'] (one of a set): a value of type Odd has"),
        ({"a": Order(when=[Odd()])}, "at cart['a'].when[0]: a value of type Odd has"),
        ({"a": "private\ud800"}, "at cart['a']: a value of type str has"),
        ({"a": b"private\xff"}, "at cart['a']: a value of type bytes has"),
        ({"a": UserDict(b="private")}, "at cart['a']: a value of type UserDict has"),
        (DEEP, "State key 'cart': the value is nested too deeply or contains itself"),
        (CIRCLE, "State key 'cart': the value is nested too deeply or contains itself"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_an_error_tells_where_in_a_value_and_what_has_no_json_form(value: Any, reason: str) -> None:
    for encode in (
        lambda: state_json.encode_value("cart", value),
        lambda: Codec().encode(an_event(delta={"good": 1, "cart": value})),
    ):
        with pytest.raises(StateValueError) as error:
            encode()
        assert reason in str(error.value)
        assert "private" not in str(error.value) + repr(error.value)
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_timestamps_are_finite() -> None:
    for at in (math.nan, math.inf):
        with pytest.raises(InputValidationError):
            Codec().encode(an_event(at=at))


def test_unknown_formats_are_refused() -> None:
    check_format(FORMAT, KEY)
    check_format(str(FORMAT), KEY)
    for version in (FORMAT + 1, FORMAT - 1, "1", 2.5, None, "", "x"):
        with pytest.raises(CorruptRecordError, match="'one'"):
            check_format(version, KEY)


def test_unreadable_events_are_counted_from_the_start_of_the_history() -> None:
    good = Codec().encode(an_event()).body
    with pytest.raises(CorruptRecordError, match="position 12"):
        Codec().decode([good, good.decode(), b"{", good], KEY, first=10)


def test_events_at_the_depth_limit_can_be_read_together() -> None:
    payload: Any = 1
    for _ in range(197):
        payload = [payload]
    event = an_event(output=payload)
    body = Codec().encode(event).body
    assert Codec().decode([body, body], KEY) == [event, event]


@pytest.mark.parametrize(
    "change",
    [{"branch": 5}, {"id": 5}, {"content": "x"}, {"error_code": 5}, {"custom_metadata": [1]}, {"actions": None}],
    ids=lambda change: next(iter(change)),
)
def test_an_event_that_could_not_be_read_back_is_refused(change: dict[str, Any]) -> None:
    event = an_event()
    event.__dict__.update(change)
    with pytest.raises(EventValueError):
        Codec().encode(event)


@pytest.mark.parametrize("at", [2**70, True, "5", None])
def test_a_timestamp_is_a_number_of_seconds(at: Any) -> None:
    event = an_event()
    event.__dict__["timestamp"] = at
    with pytest.raises(InputValidationError):
        Codec().encode(event)


def test_what_pydantic_only_warns_of_may_be_stored() -> None:
    event = an_event()
    event.finish_reason = "STOP"  # type: ignore[assignment]
    assert round_trip(event).finish_reason == types.FinishReason.STOP


class Interrupted(BaseModel):
    """Ctrl-C comes while it is serialized."""

    @model_serializer
    def interrupted(self) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize("coerce", [False, True])
@pytest.mark.parametrize(
    "event",
    [
        Event(author="me", actions=EventActions(state_delta={"a": Interrupted()})),
        Event(custom_metadata={"a": Interrupted()}),
    ],
    ids=["in state", "in the event"],
)
def test_ctrl_c_in_a_serializer_is_no_refusal(event: Event, coerce: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        Codec(coerce=coerce).encode(event)
