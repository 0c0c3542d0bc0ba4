"""The scopes of state, in one order everywhere: session, user, app.

To add one that sessions share, begin with `SharedScope`; mypy and `PREFIXES` lead to the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

from attrs import field, frozen
from google.adk.sessions import State

SharedScope: TypeAlias = Literal["user", "app"]
"""The scopes that sessions share. The names are also those of stored fields."""

PREFIXES: Mapping[SharedScope, str] = {"user": State.USER_PREFIX, "app": State.APP_PREFIX}
"""What the keys of each shared scope begin with in `Session.state`."""


@frozen
class ScopedState:
    """State by scope. Keys have no prefix, except in `temp`."""

    session: dict[str, Any] = field(factory=dict, repr=False)
    user: dict[str, Any] = field(factory=dict, repr=False)
    app: dict[str, Any] = field(factory=dict, repr=False)
    temp: dict[str, Any] = field(factory=dict, repr=False)


@frozen
class StateTexts:
    """State to be stored, by scope: key without prefix to the JSON text of its value."""

    session: Mapping[str, str] = field(factory=dict, repr=False)
    user: Mapping[str, str] = field(factory=dict, repr=False)
    app: Mapping[str, str] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> StateTexts:
        """Sorts JSON texts of state values, by key with prefix, into their scopes."""
        scoped = split(texts)
        return cls(session=scoped.session, **{scope: getattr(scoped, scope) for scope in PREFIXES})

    @property
    def shared(self) -> dict[SharedScope, Mapping[str, str]]:
        """The state that sessions share, by scope."""
        return {scope: getattr(self, scope) for scope in PREFIXES}


@frozen(kw_only=True, slots=False)
class SharedState:
    """The state that sessions share, as it is read: key without prefix to value."""

    user: Mapping[str, Any] = field(repr=False)
    app: Mapping[str, Any] = field(repr=False)

    @cached_property
    def prefixed(self) -> Mapping[str, Any]:
        """All of it, with the prefixes that `Session.state` has."""
        return {
            prefix + key: value for scope, prefix in PREFIXES.items() for key, value in getattr(self, scope).items()
        }


def split(state: Mapping[str, Any]) -> ScopedState:
    """Sorts `state` into its scopes by the prefixes of its keys."""
    scoped = ScopedState()
    for key, value in state.items():
        if key.startswith(State.TEMP_PREFIX):
            scoped.temp[key] = value
            continue
        for scope, prefix in PREFIXES.items():
            if key.startswith(prefix):
                getattr(scoped, scope)[key.removeprefix(prefix)] = value
                break
        else:
            scoped.session[key] = value
    return scoped


def without_temp(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `delta` without its `temp:` keys, which are never stored."""
    return {key: value for key, value in delta.items() if not key.startswith(State.TEMP_PREFIX)}
