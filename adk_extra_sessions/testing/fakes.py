"""In-process fakes of Redis and MongoDB, by URL: `fakeredis://NAME` and `mongomock://NAME`.

All services with the same name use the same in-process server, as long as the
process lives: a second one has what the first one stored, as after a restart.
They need the extra `fakes`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from adk_extra_sessions.errors import MissingExtraError
from adk_extra_sessions.redaction import redact

_redis_servers: dict[str, Any] = {}
_mongo_stores: dict[str, Any] = {}
_lock = threading.Lock()

_INSTALL = "needs the fakes: install the extra 'fakes' of adk-extra-sessions"


def fake_redis(url: str, options: Mapping[str, Any]) -> Any:
    """Returns a `fakeredis.FakeRedis` on the server that the URL names.

    Args:
        url: `fakeredis://NAME`; without a name, the server named "".
        options: Of redis-py's, `decode_responses` and `protocol` have an effect.

    Raises:
        MissingExtraError: fakeredis, or its Lua interpreter, is not installed.
    """
    try:
        import fakeredis
        import lupa  # noqa: F401  (fakeredis runs scripts with it)
    except ImportError as error:
        raise MissingExtraError(f"{redact(url)!r} {_INSTALL}", name=error.name) from None
    with _lock:
        server = _redis_servers.setdefault(_name(url), fakeredis.FakeServer())
    kept = {name: value for name, value in options.items() if name in ("decode_responses", "protocol")}
    return fakeredis.FakeRedis(server=server, **kept)


def fake_mongo(url: str) -> Any:
    """Returns a `mongomock.MongoClient` on the server that the URL names; threads may share it.

    Raises:
        MissingExtraError: mongomock is not installed.
    """
    try:
        import mongomock  # noqa: F401  (first, so that an error names it)
        from mongomock.store import ServerStore

        from adk_extra_sessions.testing.locked_mongomock import LockedMongoClient
    except ImportError:
        raise MissingExtraError(f"{redact(url)!r} {_INSTALL}", name="mongomock") from None
    with _lock:
        store = _mongo_stores.setdefault(_name(url), ServerStore())  # type: ignore[no-untyped-call]
    return LockedMongoClient(_store=store)


def _name(url: str) -> str:
    return urlsplit(url).netloc
