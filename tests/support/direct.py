"""A blocking store as the contract's tests call it."""

from __future__ import annotations

from typing import Any

from google.adk.events import Event
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

from adk_extra_sessions.store import SessionStore


class Direct(BaseSessionService):
    """A blocking store called as it is, without threads or group commit."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store

    async def create_session(self, **arguments: Any) -> Session:
        return self.store.create_session(**arguments)

    async def get_session(self, *, config: GetSessionConfig | None = None, **names: Any) -> Session | None:
        return self.store.get_session(config=config, **names)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        return self.store.list_sessions(app_name=app_name, user_id=user_id)

    async def delete_session(self, **names: Any) -> None:
        self.store.delete_session(**names)

    async def get_user_state(self, **names: Any) -> dict[str, Any]:
        return self.store.get_user_state(**names)

    async def append_event(self, session: Session, event: Event) -> Event:
        return self.store.append_event(session, event)
