"""The contract of `read` and `user_state`."""

from __future__ import annotations

import pytest

from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.records import SessionKey, Window
from adk_extra_sessions.testing.backend_contract.samples import KEY, append, appended, created, read, record, texts_of


class ReadVerbs:
    """A session is read as it was at one moment."""

    @pytest.mark.parametrize("count", [3, 150])
    def test_the_newest_events(self, session_backend: Backend, count: int) -> None:
        created(session_backend)
        said = [str(number) for number in range(count)]
        appended(session_backend, said)
        for recent in (0, 1, 2, count, count + 1):
            found = read(session_backend, recent=recent)
            assert texts_of(found) == said[len(said) - min(recent, count) :]
            assert found.first == count - len(found.bodies)
        assert texts_of(read(session_backend)) == said

    @pytest.mark.parametrize("count", [3, 150])
    def test_events_since_a_time_are_all_there(self, session_backend: Backend, count: int) -> None:
        created(session_backend)
        said = [str(number) for number in range(count)]
        appended(session_backend, said)
        for after in (200.0, 201.5, 200.0 + count):
            wanted = [text for number, text in enumerate(said) if 200.0 + number >= after]
            found = texts_of(read(session_backend, after=after))
            assert found[len(found) - len(wanted) :] == wanted
        assert texts_of(read(session_backend, recent=2, after=0.0)) == said[-2:]

    def test_a_missing_session_is_none(self, session_backend: Backend) -> None:
        assert session_backend.read(KEY, Window()) is None

    def test_bodies_are_given_back_byte_for_byte(self, session_backend: Backend) -> None:
        created(session_backend)
        text = "\x00 é \U0001f600 " + "long " * 60_000
        stored = record(text)
        append(session_backend, [stored, record("next", 201.0)])
        body = read(session_backend).bodies[0]
        assert (body.encode() if isinstance(body, str) else bytes(body)) == stored.body

    def test_the_users_state(self, session_backend: Backend) -> None:
        assert session_backend.user_state("a", "u") == {}
        created(session_backend, SessionKey("a", "u", "1"), {"user:ours": [1], "own": 2, "app:everyones": 3})
        assert session_backend.user_state("a", "u") == {"ours": [1]}
        assert session_backend.user_state("a", "") == session_backend.user_state("b", "u") == {}

    def test_it_answers(self, session_backend: Backend) -> None:
        session_backend.ping()
        assert session_backend.server and session_backend.target.system
        assert issubclass(session_backend.driver_error, Exception)
