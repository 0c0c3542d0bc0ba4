"""The Lua scripts and how they are called: by digest, one round trip, any number at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, TypeAlias

from attrs import frozen
from redis.exceptions import NoScriptError

Argument: TypeAlias = str | bytes | int


@frozen
class Script:
    """A script as the server runs it.

    Attributes:
        text: Its source, without comments, which would only travel along.
        sha: The digest that Redis knows it by.
    """

    text: str
    sha: str

    @classmethod
    def load(cls, name: str) -> Script:
        """Reads `lua/NAME.lua`, below what all scripts share."""
        folder = files(__package__) / "lua"
        source = "".join((folder / f"{part}.lua").read_text("utf-8") for part in ("common", name))
        text = re.sub(r"^\s*--.*\n|^\s*\n", "", source, flags=re.MULTILINE)
        return cls(text, hashlib.sha1(text.encode()).hexdigest())


@frozen
class Call:
    """One run of a script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


APPEND = Script.load("append")
APPLY = Script.load("apply")
CREATE = Script.load("create")
DELETE = Script.load("delete")
LIST = Script.load("list")
READ = Script.load("read")


def run(client: Any, call: Call) -> Any:
    """Runs a script and returns its reply.

    A server that does not know it (the first time, after SCRIPT FLUSH or a
    failover) is sent its source, and knows it from then on.
    """
    try:
        return client.evalsha(call.script.sha, len(call.keys), *call.keys, *call.arguments)
    except NoScriptError:
        return client.eval(call.script.text, len(call.keys), *call.keys, *call.arguments)


def run_many(client: Any, calls: Sequence[Call]) -> list[Any]:
    """Runs scripts in one round trip (on a cluster, one for each node).

    Returns:
        For each call its reply, or its exception.
    """
    if len(calls) == 1:
        return [_reply_or_error(client, calls[0])]
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        # Not by `pipeline.evalsha`, which a cluster's pipeline refuses, since a
        # node may not know the script; here that node is sent it below.
        pipeline.execute_command("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.arguments)
    replies = pipeline.execute(raise_on_error=False)
    return [
        _reply_or_error(client, call) if isinstance(reply, NoScriptError) else reply
        for call, reply in zip(calls, replies, strict=True)
    ]


def _reply_or_error(client: Any, call: Call) -> Any:
    try:
        return run(client, call)
    except Exception as error:
        return error
