"""A TCP proxy before servers that counts the requests of a client, and does something at one of them.

Every connection has a thread of its own that forwards one request and its
reply after the other, as Redis and MongoDB answer them.
"""

from __future__ import annotations

import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from attrs import define, field, frozen
from typing_extensions import Self


@frozen
class Fault:
    """What happens at a request.

    Attributes:
        name: What failures call it.
        delivered: Whether the server gets the request.
        answered: Whether the client gets the reply; else its connection is cut.
        lasting: Whether all later requests are lost too: to the server, the client has died.
        before: Called while the request waits to be delivered.
        after: Called while the reply waits.
        interrupts: Whether the main thread gets a KeyboardInterrupt while it waits for the reply.
    """

    name: str
    delivered: bool = True
    answered: bool = True
    lasting: bool = False
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    interrupts: bool = False


INTERRUPTIONS = (
    Fault("connection cut before the request", delivered=False, answered=False),
    Fault("reply lost", answered=False),
    Fault("client dead before the request", delivered=False, answered=False, lasting=True),
    Fault("client dead after the request", answered=False, lasting=True),
    Fault("KeyboardInterrupt before the request", delivered=False, answered=False, lasting=True, interrupts=True),
    Fault("KeyboardInterrupt after the request", answered=False, lasting=True, interrupts=True),
)


@define
class MessageProxy:
    """Forwards connections to servers. Use it in a `with` statement, in the main thread.

    Attributes:
        servers: The servers' ports on this machine.
        marker: What a request must hold to be counted.
        redis: Whether the servers speak Redis's protocol; else MongoDB's.
        ports: For each server's port, the one to connect to instead.
        count: Requests counted since `expect` was called.
        errors: What `before` and `after` raised.
    """

    servers: tuple[int, ...]
    marker: bytes
    redis: bool
    ports: dict[int, int] = field(factory=dict)
    count: int = 0
    errors: list[BaseException] = field(factory=list)
    _handler: Any = None
    _fault: Fault | None = None
    _at: int = 0
    _over: threading.Event = field(factory=threading.Event)
    _happening: threading.Lock = field(factory=threading.Lock)
    _counting: threading.Lock = field(factory=threading.Lock)
    _listeners: list[socket.socket] = field(factory=list)

    def expect(self, fault: Fault | None = None, at: int = 0) -> None:
        """Counts anew, and lets `fault` happen at request `at`; 1 is the next."""
        self.count, self.errors = 0, []
        self._over = threading.Event()
        self._fault, self._at = fault, at

    def heal(self) -> None:
        """Lets nothing more happen, and waits for the end of what does."""
        self._over.set()
        with self._happening:
            self._fault = None

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGUSR1, _interrupt)
        for port in self.servers:
            listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self._listeners.append(listener)
            self.ports[port] = listener.getsockname()[1]
            threading.Thread(target=self._listen, args=(listener, port), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.heal()
        signal.signal(signal.SIGUSR1, self._handler)
        for listener in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _listen(self, listener: socket.socket, port: int) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._forward, args=(client, port), daemon=True).start()

    def _forward(self, client: socket.socket, port: int) -> None:
        with suppress(OSError, EOFError), client, socket.create_connection(("127.0.0.1", port)) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            read = _redis_message if self.redis else _mongo_message
            with client.makefile("rb") as requests, server.makefile("rb") as replies:
                while True:
                    request = read(requests)
                    fault = self._fault_at(request)
                    if fault is None:
                        client.sendall(self._answer(server, request, lambda: read(replies)))
                        continue
                    with self._happening:
                        # A message that wants no answer may come when its operation is over: nothing happens then.
                        fault = fault if self._fault else Fault("too late")
                        reply = self._happen(fault, server, request, lambda: read(replies))
                    if not fault.answered:
                        return
                    client.sendall(reply)

    def _happen(self, fault: Fault, server: socket.socket, request: bytes, read: Callable[[], bytes]) -> bytes:
        if fault.before:
            self._call(fault.before)
        reply = self._answer(server, request, read) if fault.delivered else b""
        if fault.after:
            self._call(fault.after)
        if fault.interrupts and not self._wants_no_reply(request):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            self._over.wait(timeout=60)
        return reply

    def _answer(self, server: socket.socket, request: bytes, read: Callable[[], bytes]) -> bytes:
        server.sendall(request)
        return b"" if self._wants_no_reply(request) else read()

    def _fault_at(self, request: bytes) -> Fault | None:
        if self.marker not in request:
            return None
        with self._counting:
            self.count += 1
            fault = self._fault
            if fault is None or self.count < self._at:
                return None
            if self.count == self._at:
                return fault
            return Fault("dead", delivered=False, answered=False) if fault.lasting else None

    def _wants_no_reply(self, request: bytes) -> bool:
        opcode, flags = struct.unpack_from("<ii", request, 12) if not self.redis else (0, 0)
        return bool(opcode == 2013 and flags & 2)  # OP_MSG with moreToCome

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self.errors.append(error)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _exactly(stream: IO[bytes], size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise EOFError
    return found


def _mongo_message(stream: IO[bytes]) -> bytes:
    length = _exactly(stream, 4)
    return length + _exactly(stream, int.from_bytes(length, "little") - 4)


def _redis_message(stream: IO[bytes]) -> bytes:
    """Reads a request, or a reply of either version of Redis's protocol."""
    line = stream.readline()
    if not line:
        raise EOFError
    kind, length = line[:1], line[1:-2]
    if kind in b"$=!":
        return line + (_exactly(stream, int(length) + 2) if int(length) >= 0 else b"")
    if kind in b"*~>%|":
        parts = int(length) * (2 if kind in b"%|" else 1)
        return line + b"".join(_redis_message(stream) for _ in range(parts))
    return line
