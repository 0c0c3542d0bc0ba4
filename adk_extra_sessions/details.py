"""The details of a session: its name, labels, times and lifetime. Not its state and events."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal

from attrs import field, fields, frozen
from typing_extensions import Self


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "not given"

    def __repr__(self) -> str:
        return self.name


UNSET: Final = Unset.UNSET
"""An argument that was not given, where None has a meaning of its own."""


@frozen
class Lifetime:
    """How long a session stays.

    Attributes:
        kind: "default": from each write on for the ttl of the store that writes.
            "ttl": from each write on for the session's own ttl. "fixed": until one
            moment, however often it is written to. "never": it does not expire.
        ttl_ms: The session's own ttl in milliseconds; 0 for other kinds.
        expire_time: The moment, in seconds since the epoch; 0 for other kinds.
    """

    kind: Literal["default", "ttl", "fixed", "never"] = "default"
    ttl_ms: int = 0
    expire_time: float = 0.0

    @classmethod
    def sliding(cls, ttl_ms: int) -> Self:
        """Returns the lifetime of a session with a ttl of its own."""
        return cls("ttl", ttl_ms=ttl_ms)

    @classmethod
    def until(cls, expire_time: float) -> Self:
        """Returns the lifetime of a session that expires at one moment."""
        return cls("fixed", expire_time=expire_time)

    def expire_time_after(self, now: float, store_ttl_ms: int) -> float | None:
        """Returns when the session expires if it is written to now; None for never.

        Args:
            now: Seconds since the epoch.
            store_ttl_ms: The ttl of the store that writes; 0 for none.
        """
        if self.kind == "fixed":
            return self.expire_time
        ttl_ms = {"default": store_ttl_ms, "ttl": self.ttl_ms, "never": 0}[self.kind]
        return now + ttl_ms / 1000 if ttl_ms else None


DEFAULT: Final = Lifetime()
"""The lifetime of a session without one of its own."""

NEVER: Final = Lifetime("never")
"""The lifetime of a session that stays until it is deleted."""


@frozen
class SessionDetails:
    """What a session has besides its state and events.

    Attributes:
        display_name: A name to show to people.
        labels: Names and short texts to find it by.
        create_time: When it was created, in seconds since the epoch.
        expire_time: When it expires if nobody writes to it before, in seconds since the epoch; None for never.
        parent_session_id: The session that it was forked from.
        root_session_id: The first session of that line.
        lifetime: Decides when it expires after the next write.
    """

    display_name: str | None = field(default=None, repr=False)
    labels: Mapping[str, str] = field(factory=dict, repr=False)
    create_time: float = 0.0
    expire_time: float | None = None
    parent_session_id: str | None = None
    root_session_id: str | None = None
    lifetime: Lifetime = DEFAULT


@frozen
class Changes:
    """Changes of a session's details; what is UNSET stays.

    Attributes:
        display_name: The new name; None removes it.
        labels: The new labels, which replace all that it has.
        lifetime: Decides when it expires from now on.
    """

    display_name: str | Unset | None = field(default=UNSET, repr=False)
    labels: Mapping[str, str] | Unset = field(default=UNSET, repr=False)
    lifetime: Lifetime | Unset = UNSET

    @classmethod
    def to(cls, details: SessionDetails) -> Self:
        """Returns the changes that give any session the details of this one, as far as they can be changed."""
        return cls(**{one.name: getattr(details, one.name) for one in fields(cls)})
