"""A value's JSON text, which keeps what pydantic's default form loses; or why a value has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import wraps
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError, from_json, to_json
from typing_extensions import ParamSpec

P = ParamSpec("P")
T = TypeVar("T")

SAME_IN_JSON = {str, int, bool, type(None)}
"""Types whose values come back from JSON as they are."""

LONG = 4000
"""Shorter texts have no number of 4,300 digits, the JSON reader's limit."""

_CONTAINERS = (dict, list, tuple, set, frozenset)
_SHOWN_KEYS = (str, int)
_DEEPEST = 200

_anything: TypeAdapter[Any] = TypeAdapter(Any)


class NoJsonFormError(ValueError):
    """A value has no JSON form. Unlike the serializer's error, this one shows nothing of the value."""


def encoding(encode: Callable[P, T]) -> Callable[P, T]:
    """Makes a function raise `NoJsonFormError` instead of whatever a serializer raises in it.

    That may be anything: values have serializers of their own, and pydantic's
    code panics over a dictionary that grows meanwhile, which is no `Exception`.
    """

    @wraps(encode)
    def encode_or_refuse(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return encode(*arguments, **named)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise_interrupt(error)
            # Its message may show the value: ours must not have it as its context.
        raise NoJsonFormError

    return encode_or_refuse


def raise_interrupt(error: BaseException) -> None:
    """Raises `KeyboardInterrupt` if pydantic has made another error of it: of Ctrl-C in a serializer in Python."""
    if isinstance(error, PydanticSerializationError) and str(error).endswith(": KeyboardInterrupt: "):
        raise KeyboardInterrupt from None


@encoding
def readable_json(value: object) -> str:
    """Returns the JSON text of a value.

    Raises:
        NoJsonFormError: It has none, or none that the JSON reader takes.
    """
    text = to_json(value, inf_nan_mode="constants").decode()
    if type(value) in SAME_IN_JSON and len(text) < LONG:
        return text
    # As deep as it will stand in its event: the reader's limit is on the whole.
    (((tree,),),) = from_json(f"[[[{text}]]]")
    if "null" in text and restore_non_finite(tree, _anything.dump_python(value, warnings=False)):
        text = to_json(tree, inf_nan_mode="constants").decode()
    return text


def restore_non_finite(tree: Any, raw: Any) -> bool:
    """Puts NaN and infinities of `raw` back into the places of its JSON `tree`."""
    if isinstance(tree, dict) and isinstance(raw, dict):
        places: Any = [(key if key in tree else str(key), value) for key, value in raw.items()]
        places = [(key, value) for key, value in places if key in tree]
    elif isinstance(tree, list) and isinstance(raw, (list, tuple, set, frozenset)) and len(tree) == len(raw):
        places = list(enumerate(raw))
    else:
        return False
    found = False
    for place, value in places:
        if isinstance(value, float):
            if not math.isfinite(value) and tree[place] is None:
                tree[place] = float(value)
                found = True
        elif restore_non_finite(tree[place], value):
            found = True
    return found


def without_json_form(value: object) -> tuple[str, str]:
    """Finds what keeps a value from having a JSON form.

    Args:
        value: A value that `readable_json` refuses.

    Returns:
        Its path inside `value`, such as `['items'][3]`, and what is wrong there; no values.
    """
    try:
        return _first_without_json_form(value)
    except Exception:  # its attributes, too, may raise anything
        return "", f"a value of type {type(value).__name__} has no JSON form"


def _first_without_json_form(value: object) -> tuple[str, str]:
    path = ""
    for _ in range(_DEEPEST):
        if isinstance(value, dict):
            for key in list(value):
                if not _has_json_form({key: None}):
                    return path, f"a key of type {type(key).__name__} has no JSON form"
        found = next((one for one in _parts(value) if not _has_json_form(one[1])), None)
        if found is None:
            break
        step, value = found
        path += step
    if type(value) in _CONTAINERS:  # each part has a JSON form, or there is no end of them
        return "", "the value is nested too deeply or contains itself"
    return path, f"a value of type {type(value).__name__} has no JSON form"


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in list(value.items()):
            yield f"[{key!r}]" if type(key) in _SHOWN_KEYS else f"[a {type(key).__name__}]", part
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif isinstance(value, (set, frozenset)):
        for part in value:
            yield " (one of a set)", part
    elif isinstance(value, BaseModel) or is_dataclass(value):
        for name, part in getattr(value, "__dict__", {}).items():
            yield f".{name}", part


def _has_json_form(value: object) -> bool:
    try:
        readable_json(value)
    except NoJsonFormError:
        return False
    return True
