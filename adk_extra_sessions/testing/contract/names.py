"""The contract for names and state keys: any Unicode text is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.sessions import BaseSessionService

from adk_extra_sessions.testing.contract.base import Contract
from adk_extra_sessions.testing.contract.samples import a_session, an_event, stored

ODD_NAMES = {
    "colon": "a:b",
    "dots": "a.b..c.",
    "dollar": "$where",
    "braces": "{a}{b",
    "glob": "*?[a-z]^\\",
    "slash": "a/b#c+d",
    "percent": "%2F%",
    "quotes": "\"'`",
    "nul": "a\0b",
    "newline": "a\nb",
    "inner-space": "a b",
    "greek": "Ωμέγα",
    "emoji": "👩‍👩‍👧",
    "right-to-left": "שלום",
    "private": "\uffff\U0010ffff",
    "decomposed": "e\u0301",
    "composed": "\u00e9",
    "long": "x" * 10_000,
    "digits": "0",
    "like-a-prefix": "user:app:temp:x",
}

CLASHES = [
    ("a", "b", "c"),
    ("a:b", "c", "d"),
    ("a", "b:c", "d"),
    ("a", "b", "c:d"),
    ("a/b", "c", "d"),
    ("a", "b/c", "d"),
    ("a", "b", "c/d"),
    ("a}", "{b", "c"),
    ("a", "", "b"),
    ("", "a", "b"),
    ("a%2Fb", "c", "d"),
    ("a", "*", "c"),
    ("a", "?", "c"),
    ("a", "B", "c"),
    ("a", "e\u0301", "c"),
    ("a", "\u00e9", "c"),
]


class NamesContract(Contract):
    """Any name works, and sessions with different names are never mixed up."""

    @pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
    async def test_any_text_names_anything(self, session_service: BaseSessionService, name: str) -> None:
        session = await a_session(session_service, app_name=name, user_id=name, session_id=name)
        assert (session.app_name, session.user_id, session.id) == (name, name, name)
        delta = {f".{name}.": 1, f"user:{name}": 2, f"app:{name}": 3}
        await session_service.append_event(session, an_event(delta=delta))
        assert (await stored(session_service, session)).state == delta
        for user in (name, None):
            (listed,) = (await session_service.list_sessions(app_name=name, user_id=user)).sessions
            assert (listed.app_name, listed.user_id, listed.id) == (name, name, name)
            assert listed.state == delta
        assert await session_service.get_user_state(app_name=name, user_id=name) == {name: 2}
        await session_service.delete_session(app_name=name, user_id=name, session_id=name)
        assert (await session_service.list_sessions(app_name=name)).sessions == []

    async def test_no_two_triples_share_anything(self, session_service: BaseSessionService) -> None:
        for number, (app, user, session_id) in enumerate(CLASHES):
            state = {"mine": number, f"user:{number}": number, f"app:{number}": number}
            await a_session(session_service, app_name=app, user_id=user, session_id=session_id, state=state)
        for number, (app, user, session_id) in enumerate(CLASHES):
            found = await session_service.get_session(app_name=app, user_id=user, session_id=session_id)
            assert found is not None and found.state["mine"] == number
            of_user = [other for other, (a, u, _) in enumerate(CLASHES) if (a, u) == (app, user)]
            state = await session_service.get_user_state(app_name=app, user_id=user)
            assert state == {str(other): other for other in of_user}
            listed = (await session_service.list_sessions(app_name=app, user_id=user)).sessions
            assert [one.state["mine"] for one in listed] == of_user
            everyone = (await session_service.list_sessions(app_name=app)).sessions
            assert {one.state["mine"] for one in everyone} == {n for n, (a, *_) in enumerate(CLASHES) if a == app}

    async def test_state_keys_may_be_any_text(self, session_service: BaseSessionService) -> None:
        keys = ["", *ODD_NAMES.values(), "a", "a.b", "a.b.c", "a%2Eb", "%", "_id", "_json", "s:a", "state"]
        state: dict[str, Any] = {f"{scope}{key}": key for scope in ("app:", "user:") for key in keys}
        state.update({key: key for key in keys if not key.startswith("user:")})
        session = await a_session(session_service, state=state)
        assert (await stored(session_service, session)).state == state
        delta = {key: {key: [value]} for key, value in state.items()}
        await session_service.append_event(session, an_event(delta=delta))
        found = await stored(session_service, session)
        assert found.state == session.state == delta
        assert found.events[0].actions.state_delta == delta

    @pytest.mark.parametrize("wrong", [{"$ne": ""}, 7, b"app", ["app"]], ids=["operator", "int", "bytes", "list"])
    async def test_what_is_no_text_is_no_name(self, session_service: BaseSessionService, wrong: Any) -> None:
        session = await a_session(session_service)
        names = {"app_name": session.app_name, "user_id": session.user_id, "session_id": session.id}
        for name in names:
            with pytest.raises((ValueError, TypeError, AttributeError)):
                await session_service.get_session(**{**names, name: wrong})
            with pytest.raises((ValueError, TypeError, AttributeError)):
                await session_service.delete_session(**{**names, name: wrong})
            with pytest.raises((ValueError, TypeError, AttributeError)):
                await session_service.create_session(**{**names, name: wrong})
        assert await stored(session_service, session) == session
