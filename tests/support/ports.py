"""Ports for the servers of tests, one at which there is none, and one that accepts nobody."""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESERVED = 300
"""How many of the last ports of a process are kept from all others."""

_reserved: deque[socket.socket] = deque()


def free_port() -> int:
    """Returns a port nobody listens on, nor on a Redis Cluster node's second one, 10000 above.

    Below the range of outgoing connections, which could otherwise take it while
    its server is being restarted; and so is the second port of a Redis Cluster's
    node, which is nobody's first. No other test gets one of the last `RESERVED`,
    in this process or another.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 20_000)
        if _reserve(port) and not any(_is_listened_on(one) for one in (port, port + 10_000)):
            return port


@contextmanager
def refused_port() -> Iterator[int]:
    """Takes a port without listening at it, so that no server of another test can be there either."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def connections(silent: socket.socket) -> int:
    """Counts, and ends, the connections to a server that has accepted none of them."""
    silent.settimeout(0)
    count = 0
    with suppress(BlockingIOError):
        while True:
            silent.accept()[0].close()
            count += 1
    return count


def _reserve(port: int) -> bool:
    """Takes the UDP port of the same number; returns False if another process, or this one, has it."""
    number = socket.socket(type=socket.SOCK_DGRAM)
    try:
        number.bind(("127.0.0.1", port))
    except OSError:
        number.close()
        return False
    _reserved.append(number)
    if len(_reserved) > RESERVED:
        _reserved.popleft().close()
    return True


def _is_listened_on(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
