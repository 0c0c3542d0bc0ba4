"""Checks that a backend has the ability that a call needs."""

from __future__ import annotations

from adk_extra_sessions.backends.base import Backend, Erasable, Managed, ReadsParts
from adk_extra_sessions.errors import ConfigurationError


def managed(backend: Backend) -> Managed:
    """Returns a backend that keeps names, labels and lifetimes of sessions, and counts them.

    Raises:
        ConfigurationError: This one does not.
    """
    if isinstance(backend, Managed):
        return backend
    name = type(backend).__name__
    raise ConfigurationError(f"A {name} does not support names, labels, expiry and counts of sessions.")


def erasable(backend: Backend) -> Erasable:
    """Returns a backend that can erase everything of a user or an app.

    Raises:
        ConfigurationError: This one cannot.
    """
    if isinstance(backend, Erasable):
        return backend
    raise ConfigurationError(f"A {type(backend).__name__} cannot erase users and apps.")


def reads_parts(backend: Backend) -> ReadsParts:
    """Returns a backend that can read parts of a history.

    Raises:
        ConfigurationError: This one cannot.
    """
    if isinstance(backend, ReadsParts):
        return backend
    raise ConfigurationError(f"A {type(backend).__name__} cannot read parts of histories: leave out history and cache.")
