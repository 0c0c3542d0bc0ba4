"""What a forked child must make anew: locks that its parent's threads held, and threads, which it does not have."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class MadeAnew(Protocol):
    """An object that a fork leaves in a state nobody can rely on."""

    def after_fork(self) -> None:
        """Replaces every lock, queue and thread. Runs in the child, which has no other thread yet."""


_objects: weakref.WeakSet[MadeAnew] = weakref.WeakSet()


def make_anew(made: MadeAnew) -> None:
    """Has `made.after_fork` called in every child that this process forks, for as long as `made` lives."""
    _objects.add(made)


def _in_child() -> None:
    for made in list(_objects):
        made.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
