"""The contract of backends that can be copied."""

from __future__ import annotations

from adk_extra_sessions.backends.base import Copyable
from adk_extra_sessions.records import SessionKey, Window
from adk_extra_sessions.state_json import encode_state
from adk_extra_sessions.testing.backend_contract.samples import (
    KEY,
    append,
    appended,
    created,
    read,
    record,
    texts_of,
)


class CopyableContract:
    """Everything stored can be found, and written as it was elsewhere. Supply the fixture `session_backend`."""

    def test_apps_users_and_sessions_are_found(self, session_backend: Copyable) -> None:
        keys = [
            SessionKey("a", "u", "1"),
            SessionKey("a", "u", "2"),
            SessionKey("a", "", "1"),
            SessionKey("b/%", "v", "1"),
        ]
        for key in keys:
            created(session_backend, key)
        assert sorted(session_backend.app_names()) == ["a", "b/%"]
        found = list(session_backend.session_keys("a", None))
        assert sorted(found, key=str) == sorted(keys[:3], key=str)
        users = [key.user_id for key in found]
        assert users in (["u", "u", ""], ["", "u", "u"])
        assert list(session_backend.session_keys("a", "")) == [keys[2]]

    def test_shared_state_is_read_and_written_apart_from_sessions(self, session_backend: Copyable) -> None:
        created(session_backend, state={"app:everyones": 1, "user:ours": 1})
        texts = encode_state({"user:ours": 2, "user:more": 3}, coerce=False)
        session_backend.write_shared_state(KEY.app_name, KEY.user_id, texts)
        session_backend.write_shared_state(KEY.app_name, "alone", encode_state({"user:x": 1}, coerce=False))
        session_backend.write_shared_state(KEY.app_name, "", encode_state({"app:more": 2}, coerce=False))
        assert session_backend.app_state(KEY.app_name) == {"everyones": 1, "more": 2}
        states = dict(session_backend.user_states(KEY.app_name))
        assert {user: state for user, state in states.items() if state} == {
            KEY.user_id: {"ours": 2, "more": 3},
            "alone": {"x": 1},
        }
        assert dict(session_backend.user_states(KEY.app_name, "alone")) == {"alone": {"x": 1}}
        append(session_backend, [record("x", delta={"user:ours": 4, "app:more": 5})])
        assert session_backend.user_state(KEY.app_name, KEY.user_id) == {"ours": 4, "more": 3}
        assert session_backend.app_state(KEY.app_name) == {"everyones": 1, "more": 5}

    def test_earlier_events_come_before_those_that_were_read(self, session_backend: Copyable) -> None:
        created(session_backend)
        said = [str(number) for number in range(130)]
        appended(session_backend, said)
        found = read(session_backend, recent=5)
        earlier = [body for page in session_backend.earlier(found) for body in page]
        assert len(earlier) == found.first
        assert [*earlier, *found.bodies] == list(read(session_backend).bodies)
        assert texts_of(found) == said[-len(found.bodies) :]

    def test_a_time_is_set_only_at_its_revision(self, session_backend: Copyable) -> None:
        new = created(session_backend)
        session_backend.set_time(KEY, new.revision, 50.0)
        assert read(session_backend).last_update_time == 50.0
        session_backend.set_time(KEY, new.revision + 1, 60.0)
        assert (read(session_backend).last_update_time, read(session_backend).revision) == (50.0, new.revision)

    def test_a_discarded_session_is_gone(self, session_backend: Copyable) -> None:
        created(session_backend)
        appended(session_backend, ["a"])
        session_backend.discard(KEY)
        session_backend.discard(KEY)
        assert session_backend.read(KEY, Window()) is None
