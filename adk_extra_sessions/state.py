"""ADK's state scopes: which keys belong to the app, the user, the session, or to no storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from google.adk.sessions import State


@frozen
class ScopedState:
    """State by scope. Keys have lost their prefix, save in `temp`."""

    session: dict[str, Any] = field(factory=dict, repr=False)
    user: dict[str, Any] = field(factory=dict, repr=False)
    app: dict[str, Any] = field(factory=dict, repr=False)
    temp: dict[str, Any] = field(factory=dict, repr=False)


def split(state: Mapping[str, Any]) -> ScopedState:
    """Sorts `state` into its scopes by the prefixes `app:`, `user:` and `temp:`."""
    scoped = ScopedState()
    for key, value in state.items():
        if key.startswith(State.APP_PREFIX):
            scoped.app[key.removeprefix(State.APP_PREFIX)] = value
        elif key.startswith(State.USER_PREFIX):
            scoped.user[key.removeprefix(State.USER_PREFIX)] = value
        elif key.startswith(State.TEMP_PREFIX):
            scoped.temp[key] = value
        else:
            scoped.session[key] = value
    return scoped


def prefixed(user: Mapping[str, Any], app: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the state that sessions share as `Session.state` holds it, with its prefixes."""
    merged = {State.APP_PREFIX + key: value for key, value in app.items()}
    merged.update((State.USER_PREFIX + key, value) for key, value in user.items())
    return merged


def without_temp(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `delta` without its `temp:` keys, which are never stored."""
    return {key: value for key, value in delta.items() if not key.startswith(State.TEMP_PREFIX)}
