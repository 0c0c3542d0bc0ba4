"""The contract of backends that can erase users and apps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adk_extra_sessions.backends.base import Erasable
from adk_extra_sessions.errors import SessionNotFoundError
from adk_extra_sessions.records import Erased, SessionKey, Window
from adk_extra_sessions.testing.backend_contract.samples import append, appended, created, record

STATE = {"own": 1, "user:ours": 2, "app:everyones": 3}


class ErasableContract:
    """Nothing of the user or app is left, and everything of others. Supply the fixture `session_backend`."""

    @pytest.fixture
    def neighbours(self, session_backend: Erasable) -> Iterator[None]:
        """Users and apps whose names look alike stay as they are."""
        keys = [SessionKey(app, user, "1") for app in ("a", "a*", "") for user in ("v", "u*", "", "u:")]
        keys += [SessionKey(app, "u", "1") for app in ("a*", "", "b")]
        for key in keys:
            created(session_backend, key, STATE)
            appended(session_backend, ["hello"], key)
        yield
        for key in keys:
            found = session_backend.read(key, Window())
            if found is not None or key.app_name != "a":
                assert found is not None and len(found.bodies) == 1, key
                assert found.shared.user == {"ours": 2}

    @pytest.mark.usefixtures("neighbours")
    def test_a_user_is_erased(self, session_backend: Erasable) -> None:
        keys = [SessionKey("a", "u", str(number)) for number in range(3)]
        for number, key in enumerate(keys):
            created(session_backend, key, STATE)
            appended(session_backend, [str(text) for text in range(number * 40)], key)
        erased = session_backend.erase("a", "u")
        assert (erased.sessions, erased.events, erased.states) == (3, 120, 1)
        assert erased.records > 0
        assert all(session_backend.read(key, Window()) is None for key in keys)
        assert session_backend.user_state("a", "u") == {}
        assert session_backend.user_state("a", "u*") == {"ours": 2}
        assert session_backend.erase("a", "u") == Erased()

    @pytest.mark.usefixtures("neighbours")
    def test_an_app_is_erased(self, session_backend: Erasable) -> None:
        created(session_backend, SessionKey("a", "u", "1"), STATE)
        erased = session_backend.erase("a", None)
        assert (erased.sessions, erased.events) == (5, 4)
        assert erased.states == 6
        assert session_backend.read(SessionKey("a", "v", "1"), Window()) is None
        assert session_backend.user_state("a", "v") == {}
        created(session_backend, SessionKey("a", "x", "1"))
        found = session_backend.read(SessionKey("a", "x", "1"), Window())
        assert found is not None and found.shared.app == {}
        assert session_backend.erase("a", None).sessions == 1
        assert session_backend.erase("a", None) == Erased()

    @pytest.mark.usefixtures("neighbours")
    def test_an_append_afterwards_fails_and_leaves_nothing(self, session_backend: Erasable) -> None:
        key = SessionKey("a", "u", "1")
        new = created(session_backend, key, STATE)
        session_backend.erase("a", "u")
        outcome = append(session_backend, [record("late", delta=STATE)], key, expected=new.revision)
        assert isinstance(outcome.error, SessionNotFoundError)
        assert session_backend.user_state("a", "u") == {}
        assert session_backend.erase("a", "u") == Erased()

    @pytest.mark.usefixtures("neighbours")
    def test_a_user_without_sessions_may_have_state(self, session_backend: Erasable) -> None:
        key = SessionKey("a", "u", "1")
        created(session_backend, key, {"user:ours": 1})
        session_backend.delete(key)
        assert session_backend.erase("a", "u").states == 1
        assert session_backend.user_state("a", "u") == {}

    @pytest.mark.usefixtures("neighbours")
    def test_nothing_of_nobody_is_erased(self, session_backend: Erasable) -> None:
        assert session_backend.erase("a", "nobody") == session_backend.erase("nothing", None) == Erased()
