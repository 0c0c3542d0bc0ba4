"""The Lua scripts, and calls of them: by digest, any number in one round trip."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, TypeAlias

from attrs import field, frozen
from redis import RedisCluster
from redis.exceptions import (
    ClusterDownError,
    ConnectionError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from adk_extra_sessions.backends.redis.layout import Field
from adk_extra_sessions.backends.redis.reading import RAW
from adk_extra_sessions.backends.redis.replication import Replication
from adk_extra_sessions.backends.stored_format import FORMAT

logger = logging.getLogger(__name__)

Argument: TypeAlias = str | bytes | int

LARGE = 1 << 20
"""Bytes of an argument, as many as the smallest `proto-max-bulk-len` allows: a server may refuse it."""

_REPORTED: dict[str, type[ResponseError]] = {
    "The user executing the script can't": NoPermissionError,  # up to Redis 7.0
    "ACL failure in script": NoPermissionError,  # newer, and Valkey
    "OOM command not allowed": OutOfMemoryError,
    "READONLY You can't write": ReadOnlyError,
}

NO_WAIT = Replication()


@frozen
class Script:
    """A script as the server runs it.

    Attributes:
        text: Its source.
        sha: The digest that Redis knows it by.
    """

    text: str
    sha: str

    @classmethod
    def load(cls, name: str, *shared: str) -> Script:
        """Reads `lua/NAME.lua`, below those of `lua/shared` that it uses, and fills in the names of fields."""
        folder = files("adk_extra_sessions.backends.redis") / "lua"
        parts = [folder / "shared" / f"{part}.lua" for part in shared]
        source = "".join(part.read_text("utf-8") for part in [*parts, folder / f"{name}.lua"])
        source = re.sub(r"\bFIELD\.(\w+)", lambda found: f"'{getattr(Field, found[1])}'", source)
        text = source.replace("FORMAT", f"'{FORMAT}'")
        return cls(text, hashlib.sha1(text.encode()).hexdigest())


@frozen
class Call:
    """One run of a script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument] = field(repr=False)


APPEND = Script.load("append", "names", "state", "expiry", "time", "lifetime")
APPLY = Script.load("apply")
COUNT = Script.load("count", "labels")
CREATE = Script.load("create", "names", "state", "expiry", "time", "lifetime", "users")
DELETE = Script.load("delete", "names", "pending", "users")
DROP_EXPIRED = Script.load("drop_expired", "names")
ENTER = Script.load("enter", "time", "lifetime", "users")
ERASE = Script.load("erase", "names")
GIVE_BACK_TICKETS = Script.load("give_back_tickets")
SESSIONS_PAGE = Script.load("sessions_page", "time", "lifetime", "labels")
LOOK_AFTER = Script.load("look_after", "time", "users")
EVENTS_PAGE = Script.load("events_page")
READ = Script.load("read", "time", "lifetime", "alive")
READ_PART = Script.load("read_part", "time", "lifetime", "alive")
READ_TURN = Script.load("read_turn")
REMOVE_PENDING = Script.load("remove_pending", "pending")
SESSION_KEYS = Script.load("session_keys", "names")
SET_TIME = Script.load("set_time", "names")
STORE_OUTLINE = Script.load("store_outline")
SWAP_TURN = Script.load("swap_turn")
TAKE_TICKETS = Script.load("take_tickets")
UPDATE = Script.load("update", "state", "expiry", "time", "lifetime", "users")


def run(client: Any, call: Call) -> Any:
    """Runs a script and returns its reply.

    A server that does not know it (the first time, after SCRIPT FLUSH or a
    failover) is sent its source, and knows it from then on.
    """
    try:
        return _run(client, call)
    except ResponseError as error:
        raise _script_error_named(error) from None


def _run(client: Any, call: Call) -> Any:
    try:
        return client.execute_command("EVALSHA", call.script.sha, *_sent(call), **RAW)
    except NoScriptError:
        logger.debug("The server did not know a script; it is sent the source.")
        return client.execute_command("EVAL", call.script.text, *_sent(call), **RAW)


def _sent(call: Call) -> Sequence[Argument]:
    return [len(call.keys), *call.keys, *call.arguments]


def run_many(client: Any, calls: Sequence[Call], wait: Replication = NO_WAIT) -> list[Any]:
    """Runs scripts in one round trip (on a cluster, one for each node), and large ones in one of their own.

    Args:
        client: A redis-py client.
        calls: What to run.
        wait: Which replicas must have what the scripts write.

    Returns:
        For each call its reply, or its exception.
    """
    small = [call for call in calls if not _is_large(call)]
    if len(small) == len(calls):
        return _run_together(client, calls, wait)
    rest = iter(_run_together(client, small, wait))
    return [_run_alone(client, call, wait) if _is_large(call) else next(rest) for call in calls]


def _is_large(call: Call) -> bool:
    """Whether a server may refuse a call; it then closes the connection, and what was sent along fails too."""
    return any(
        len(argument) * (1 if isinstance(argument, bytes) else 4) >= LARGE
        for argument in call.arguments
        if not isinstance(argument, int)
    )


def _run_alone(client: Any, call: Call, wait: Replication) -> Any:
    try:
        return _run_together(client, [call], wait)[0]
    except RedisError as error:
        return error


def _run_together(client: Any, calls: Sequence[Call], wait: Replication) -> list[Any]:
    if len(calls) == 1 and not wait.replicas:
        return [_reply_or_error(client, calls[0])]
    replies = _pipelined(client, calls, wait, by_source=False)
    unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        again = _pipelined(client, [calls[at] for at in unknown], wait, by_source=True)
        for at, reply in zip(unknown, again, strict=True):
            replies[at] = reply
    return replies


def _pipelined(client: Any, calls: Sequence[Call], wait: Replication, *, by_source: bool) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        # Not by `pipeline.evalsha`, which a cluster's pipeline refuses because
        # some node may not know the script: that node is sent it next.
        command = ("EVAL", call.script.text) if by_source else ("EVALSHA", call.script.sha)
        pipeline.execute_command(*command, *_sent(call), **RAW)
    if wait.replicas:
        pipeline.execute_command("WAIT", wait.replicas, wait.timeout_ms)
    try:
        replies = [_script_error_named(reply) for reply in pipeline.execute(raise_on_error=False)]
    except RedisError:
        if not isinstance(client, RedisCluster):
            raise
        logger.info("A node of the cluster failed; %d calls are sent one by one.", len(calls))
        return _node_by_node(client, calls)
    return wait.vouched(replies[:-1], replies[-1]) if wait.replicas else replies


def _script_error_named(reply: Any) -> Any:
    """Returns a reply, or redis-py's error for a command, where a script reports it in its own words."""
    if isinstance(reply, ResponseError):
        for words, error in _REPORTED.items():
            if words in str(reply):
                return error(*reply.args)
    return reply


def _node_by_node(cluster: RedisCluster, calls: Sequence[Call]) -> list[Any]:
    """Runs scripts one by one after a node has failed: calls to that node fail after one try, others do not."""
    failed: dict[str, Exception] = {}
    replies: list[Any] = []
    for call in calls:
        node = cluster.get_node_from_key(call.keys[0]).name  # type: ignore[no-untyped-call]
        reply = failed.get(node) or _reply_or_error(cluster, call)
        if isinstance(reply, (ConnectionError, TimeoutError, ClusterDownError)):
            failed[node] = reply
        replies.append(reply)
    return replies


def _reply_or_error(client: Any, call: Call) -> Any:
    try:
        return run(client, call)
    except Exception as error:
        return error
