"""Commands that a signal interrupts: the next one on the same connection gets its own reply."""

from __future__ import annotations

import signal
import uuid
from contextlib import suppress
from typing import Any

import pytest
import redis
from redis import client as redis_client
from support.ctrl_c import ctrl_c_at
from support.processes import pause, resume
from support.servers import RedisServer

from adk_extra_sessions import RedisSessionStore

NAMES: Any = {"app_name": "app", "user_id": "user"}


@pytest.mark.parametrize("many", [False, True], ids=["one command", "a pipeline"])
def test_an_interrupted_command_leaves_its_reply_to_no_other(redis_server: RedisServer, many: bool) -> None:
    with RedisSessionStore(redis_server.url, prefix=uuid.uuid4().hex) as store:
        one, two = (store.create_session(**NAMES, session_id=name, state={"of": name}) for name in ("one", "two"))
        pause(redis_server.process)  # so that the reply comes after the interruption
        try:
            with suppress(KeyboardInterrupt), ctrl_c_at(redis_client, 0, ("parse_response",)) as came:
                if many:
                    store.backend.client.pipeline(transaction=False).ping().ping().execute()
                else:
                    store.get_session(**NAMES, session_id="one")
        finally:
            resume(redis_server.process)
        assert came.is_set()
        assert store.get_session(**NAMES, session_id="two") == two
        assert store.get_session(**NAMES, session_id="one") == one


def test_commands_in_an_except_block_keep_their_connection(redis_server: RedisServer) -> None:
    with (
        RedisSessionStore(redis_server.url, prefix=uuid.uuid4().hex) as store,
        redis.Redis.from_url(redis_server.url) as admin,
    ):
        store.ping()
        before = admin.info("stats")["total_connections_received"]
        try:
            raise LookupError
        except LookupError:
            for _ in range(5):
                store.get_session(**NAMES, session_id="one")
        assert admin.info("stats")["total_connections_received"] == before


def test_a_signal_handlers_own_exception_interrupts_too(redis_server: RedisServer) -> None:
    class SoftTimeLimit(Exception):
        """As Celery raises it in a task that takes too long."""

    def handler(*_: object) -> None:
        raise SoftTimeLimit

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with RedisSessionStore(redis_server.url, prefix=uuid.uuid4().hex) as store:
            two = store.create_session(**NAMES, session_id="two")
            store.create_session(**NAMES, session_id="one")

            def interrupted() -> None:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                store.get_session(**NAMES, session_id="one")

            pause(redis_server.process)
            try:
                with pytest.raises(SoftTimeLimit):
                    interrupted()
            finally:
                resume(redis_server.process)
            assert store.get_session(**NAMES, session_id="two") == two
    finally:
        signal.signal(signal.SIGALRM, before)
