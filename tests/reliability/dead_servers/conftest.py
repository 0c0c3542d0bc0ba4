"""Servers that are not there, and some that will stop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.dead_servers import MONGO, PASSWORD, REDIS
from support.servers import MongoServer, RedisServer, Server

from adk_extra_sessions import MongoSessionService, RedisSessionService
from adk_extra_sessions.aio.service import SessionService


@pytest.fixture(params=["black-hole", "refused", "full-backlog"])
def dead_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port of a host that takes connections and never answers, refuses them, or does not even take them."""
    with ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if request.param == "black-hole":
            listener.listen(1000)
        elif request.param == "full-backlog":
            listener.listen(0)
            for _ in range(3):
                waiting = open_sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
        yield port  # bound, and so nobody else's, even where nobody listens


@pytest.fixture(params=["redis", "mongodb"])
def dead_service(request: pytest.FixtureRequest, dead_port: int) -> SessionService:
    """A service of a server that is not there."""
    if request.param == "redis":
        return RedisSessionService(f"redis://ada:{PASSWORD}@127.0.0.1:{dead_port}/0", **REDIS)
    return MongoSessionService(f"mongodb://ada:{PASSWORD}@127.0.0.1:{dead_port}/shop", **MONGO)


@pytest.fixture(params=["redis", "mongod"])
def stoppable(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own."""
    with RedisServer() if request.param == "redis" else MongoServer() as server:
        yield server
