"""Turns on Redis: one small hash per session, beside the session's own keys."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from redis.exceptions import RedisError
from typing_extensions import override

from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import UserKeys
from adk_extra_sessions.backends.redis.replies import Reply
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.turns.storage import TurnStorage

KEPT_MS = 3_600_000
"""Milliseconds after which Redis removes the key of a turn that was never given back."""


@frozen
class RedisTurns(TurnStorage):
    """The turns of a store's sessions."""

    client: Any
    prefix: str
    driver_error = RedisError

    @override
    def read(self, key: SessionKey) -> tuple[str | None, float]:
        found, seconds, micros = scripts.run(self.client, scripts.Call(scripts.READ_TURN, [self._key(key)], []))
        return (_readable(found) if found else None), int(seconds) + int(micros) / 1e6

    @override
    def swap(self, key: SessionKey, old: str | None, new: str | None) -> bool:
        arguments: list[scripts.Argument] = [old or "", new or "", KEPT_MS]
        return bool(scripts.run(self.client, scripts.Call(scripts.SWAP_TURN, [self._key(key)], arguments)))

    def _key(self, key: SessionKey) -> str:
        return UserKeys.of(self.prefix, key.app_name, key.user_id).turn(key.session_id)


def _readable(found: Reply) -> str:
    """Returns a queue as text; one that is not UTF-8 becomes a text that is no queue."""
    return found.decode(errors="replace") if isinstance(found, bytes) else found
