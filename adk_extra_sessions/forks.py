"""Resets objects in a forked child: it has none of its parent's threads, and may have locks that they held."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Resettable(Protocol):
    """An object with locks, queues or threads."""

    def after_fork(self) -> None:
        """Replaces every lock, queue and thread. Runs in the child, which has no other thread yet."""


_objects: weakref.WeakSet[Resettable] = weakref.WeakSet()


def reset_after_fork(resettable: Resettable) -> None:
    """Has `resettable.after_fork` called in every child that this process forks, for as long as it lives."""
    _objects.add(resettable)


def _in_child() -> None:
    for resettable in list(_objects):
        resettable.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
