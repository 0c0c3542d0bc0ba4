"""The contract of backends that keep turns."""

from __future__ import annotations

import time

from adk_extra_sessions.backends.base import TakesTurns
from adk_extra_sessions.testing.backend_contract.samples import KEY, created


class TakesTurnsContract:
    """A text is replaced only if it is still the one that was read. Supply the fixture `session_backend`."""

    def test_a_text_is_kept_beside_a_session_that_need_not_exist(self, session_backend: TakesTurns) -> None:
        text, now = session_backend.turns.read(KEY)
        assert text is None and abs(now - time.time()) < 3600
        assert session_backend.turns.swap(KEY, None, "a")
        created(session_backend)
        session_backend.delete(KEY)
        assert session_backend.turns.read(KEY)[0] == "a"

    def test_only_the_text_that_was_read_is_replaced(self, session_backend: TakesTurns) -> None:
        assert not session_backend.turns.swap(KEY, "other", "a")
        assert session_backend.turns.swap(KEY, None, "a")
        assert not session_backend.turns.swap(KEY, None, "b")
        assert not session_backend.turns.swap(KEY, "b", None)
        assert not session_backend.turns.swap(KEY, "b", "c")
        assert session_backend.turns.swap(KEY, "a", "b")
        assert session_backend.turns.read(KEY)[0] == "b"
        assert session_backend.turns.swap(KEY, "b", None)
        assert session_backend.turns.read(KEY)[0] is None

    def test_the_servers_time_goes_on(self, session_backend: TakesTurns) -> None:
        first = session_backend.turns.read(KEY)[1]
        time.sleep(0.02)
        assert session_backend.turns.read(KEY)[1] > first
