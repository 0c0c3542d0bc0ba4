"""ADK's `Session`, and a page of sessions, with the details that this package adds."""

from __future__ import annotations

from typing import Any

from attrs import fields
from google.adk.sessions import Session as AdkSession
from google.adk.sessions.base_session_service import ListSessionsResponse
from pydantic import Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer

from adk_extra_sessions.details import DEFAULT, Lifetime, SessionDetails

SHOWN = tuple(one.name for one in fields(SessionDetails) if one.name != "lifetime")
"""The details that are fields of a `Session`."""

TIMES = ("create_time", "expire_time")
"""The details that a session has although its caller gave none."""


class Session(AdkSession):
    """ADK's `Session` with a display name, labels and times.

    ADK takes it wherever it takes its own. To change these fields in storage,
    call `update_session`. Without a name, labels or a parent, its JSON is the same as
    ADK's.
    """

    display_name: str | None = Field(default=None, description="A name to show to people.")
    labels: dict[str, str] = Field(default_factory=dict, description="Names and short texts to find it by.")
    create_time: float = Field(default=0.0, description="When it was created, in seconds since the epoch.")
    expire_time: float | None = Field(
        default=None, description="When it expires if nobody writes to it, in seconds since the epoch; None for never."
    )
    parent_session_id: str | None = Field(default=None, description="The session that it was forked from.")
    root_session_id: str | None = Field(default=None, description="The first session of that line.")

    # Not as a default, which pydantic copies deeply for each session.
    _lifetime: Lifetime = PrivateAttr(default_factory=lambda: DEFAULT)
    """Its lifetime when it was loaded."""

    def __repr__(self) -> str:
        # Tools that collect errors print the variables in a traceback. `str` shows everything, like ADK's.
        return f"{type(self).__name__}(app_name={self.app_name!r}, user_id={self.user_id!r}, id={self.id!r})"

    def __eq__(self, other: object) -> bool:
        # Each write changes when the session expires, so two equal ones may have been loaded with different times.
        if isinstance(other, Session):
            other = other.model_copy(update={"expire_time": self.expire_time})
        return super().__eq__(other)

    @model_serializer(mode="wrap")
    def _as_adk_has_it(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # ADK's own Session refuses fields that it does not know: `adk run --resume` could not read what it has saved.
        written: dict[str, Any] = serialize(self)
        if not any(getattr(self, name) for name in SHOWN if name not in TIMES):
            for name in SHOWN:
                written.pop(name, None)
                written.pop(type(self).model_fields[name].alias or name, None)
        return written


class SessionsPage(ListSessionsResponse):
    """ADK's `ListSessionsResponse` with a token for the next page."""

    sessions: list[Session] = Field(default_factory=list)  # type: ignore[assignment]
    next_page_token: str | None = Field(default=None, description="For the next page; None after the last one.")


def details_of(session: Session) -> SessionDetails:
    """Returns the details that a session was loaded with."""
    return SessionDetails(**{name: getattr(session, name) for name in SHOWN}, lifetime=session._lifetime)


def lifetime_of(session: AdkSession) -> Lifetime:
    """Returns the lifetime that a session was loaded with; the default one for ADK's own `Session`."""
    return session._lifetime if isinstance(session, Session) else DEFAULT


def set_lifetime(session: Session, lifetime: Lifetime) -> None:
    """Notes the lifetime that a session is loaded with."""
    session._lifetime = lifetime
