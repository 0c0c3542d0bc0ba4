"""The contract of `create` and `delete`."""

from __future__ import annotations

import attrs

from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.records import SessionKey, Window
from adk_extra_sessions.testing.backend_contract.samples import (
    KEY,
    append,
    appended,
    created,
    new_session,
    read,
    record,
    texts_of,
)


class CreateVerb:
    """A session is created once, as a whole, and is missing after it was deleted."""

    def test_a_new_session_has_its_revision_time_and_state(self, session_backend: Backend) -> None:
        state = {"own": 1, "user:ours": [2], "app:everyones": {"x": None}}
        shared = session_backend.create(new := new_session(state=state))
        assert shared is not None and (shared.app, shared.user) == ({"everyones": {"x": None}}, {"ours": [2]})
        found = read(session_backend)
        assert (found.key, found.revision, found.last_update_time) == (KEY, new.revision, 100.0)
        assert (found.state, found.shared.app, found.shared.user) == ({"own": 1}, shared.app, shared.user)
        assert list(found.bodies) == []

    def test_a_session_that_is_there_is_left_alone(self, session_backend: Backend) -> None:
        created(session_backend, state={"own": 1, "user:ours": 1})
        assert session_backend.create(new_session(state={"own": 2, "user:ours": 2})) is None
        found = read(session_backend)
        assert (found.state, found.shared.user) == ({"own": 1}, {"ours": 1})

    def test_the_same_creation_again_succeeds_and_changes_nothing(self, session_backend: Backend) -> None:
        new = created(session_backend, state={"own": 1})
        append(session_backend, [record("hello", delta={"own": 2})], expected=new.revision)
        assert session_backend.create(new) is not None
        assert texts_of(read(session_backend)) == ["hello"] and read(session_backend).state == {"own": 2}

    def test_a_deleted_session_is_gone_and_shared_state_stays(self, session_backend: Backend) -> None:
        created(session_backend, state={"user:ours": 1, "app:everyones": 1})
        appended(session_backend, ["a", "b"])
        session_backend.delete(KEY)
        session_backend.delete(KEY)
        assert session_backend.read(KEY, Window()) is None
        assert session_backend.user_state(KEY.app_name, KEY.user_id) == {"ours": 1}
        assert read_shared(session_backend, attrs.evolve(KEY, session_id="other")) == ({"everyones": 1}, {"ours": 1})

    def test_a_session_created_again_has_nothing_of_the_one_before(self, session_backend: Backend) -> None:
        created(session_backend, state={"own": 1})
        appended(session_backend, [str(number) for number in range(130)])
        session_backend.delete(KEY)
        new = created(session_backend)
        found = read(session_backend)
        assert (found.revision, found.state, list(found.bodies)) == (new.revision, {}, [])

    def test_two_names_never_mean_one_session(self, session_backend: Backend) -> None:
        names = [
            ("a", "b/c", "d"),
            ("a/b", "c", "d"),
            ("a", "b", "c/d"),
            ("a", "", "d"),
            ("", "a", "d"),
            ("a%2Fb", "c", "d"),
        ]
        for number, parts in enumerate(names):
            created(session_backend, SessionKey(*parts), {"own": number, "user:ours": number})
        for number, parts in enumerate(names):
            found = read(session_backend, SessionKey(*parts))
            assert (found.state, found.shared.user) == ({"own": number}, {"ours": number})


def read_shared(backend: Backend, key: SessionKey) -> tuple[object, object]:
    """Creates a session and returns the app's and the user's state that it sees."""
    created(backend, key)
    found = read(backend, key)
    return found.shared.app, found.shared.user
