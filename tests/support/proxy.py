"""A TCP proxy before servers that loses replies: the server has done the work, the client never hears of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from typing_extensions import Self


class ReplyLosingProxy:
    """Forwards connections to servers. Use it in a `with` statement.

    Redis and MongoDB both answer one request after the other, so what a client
    has sent since the last reply is the request that the next reply belongs to.

    Args:
        *ports: The servers' ports on this machine.
        marker: What a request must hold to lose its reply.

    Attributes:
        ports: For each server's port, the one to connect to instead.
        lost: Replies lost since `lose` was called.
    """

    def __init__(self, *ports: int, marker: str) -> None:
        self.ports = dict.fromkeys(ports, 0)
        self.lost = 0
        self._marker = marker.encode()
        self._seen = 0
        self._losing = range(0)
        self._listeners: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def lose(self, first: int, count: int = 1) -> None:
        """Loses replies, and the connection with each.

        Args:
            first: The first one that is lost; 1 is the next.
            count: How many are lost.
        """
        self._seen, self.lost, self._losing = 0, 0, range(first, first + count)

    def heal(self) -> None:
        """Loses no more replies."""
        self._losing = range(0)

    def break_connections(self) -> None:
        """Breaks all connections at once, whatever they wait for; new ones may be made."""
        self._in_loop(self._break())

    def __enter__(self) -> Self:
        self._thread.start()
        for port in self.ports:
            self.ports[port] = self._in_loop(self._listen(port))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._in_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _in_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=120)

    async def _listen(self, port: int) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections.add(writer)
            try:
                with suppress(ConnectionError):  # the server is gone
                    await self._forward(port, reader, writer)
            finally:
                self._connections.discard(writer)
                writer.close()

        listener = await asyncio.start_server(connected, "127.0.0.1", 0)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def _break(self) -> None:
        for connection in self._connections:
            connection.close()

    async def _end(self) -> None:
        for listener in self._listeners:
            listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _forward(self, port: int, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        request = bytearray()

        async def requests() -> None:
            while data := await client.read(1 << 16):
                request.extend(data)
                to_server.write(data)

        async def replies() -> None:
            while data := await server.read(1 << 16):
                if self._is_lost(request):
                    return
                request.clear()
                to_client.write(data)

        directions = [asyncio.ensure_future(requests()), asyncio.ensure_future(replies())]
        with suppress(asyncio.CancelledError):
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        to_client.close()
        to_server.close()

    def _is_lost(self, request: bytearray) -> bool:
        if self._marker not in request:
            return False
        self._seen += 1
        lost = self._seen in self._losing
        self.lost += lost
        return lost
