"""The options of the drivers that type checkers know are those that the drivers take."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import pymongo.common
import pytest
import redis

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore
from adk_extra_sessions.backends.mongodb.driver_options import MongoDriverOptions
from adk_extra_sessions.backends.redis.driver_options import RedisDriverOptions
from adk_extra_sessions.errors import ConfigurationError

REDIS_NAMES = set(RedisDriverOptions.__annotations__)
MONGO_NAMES = {name.lower(): name for name in MongoDriverOptions.__annotations__}

LEFT_OUT_OF_REDIS = {
    *("host", "port", "path"),  # the URL has them
    *("cache_factory", "himport_registry", "maint_notifications_pool_handler", "parser"),  # what parts of redis-py
    *("maintenance_notification_hash", "maintenance_state", "oss_cluster_maint_notifications_handler"),  # pass to
    *("orig_host_address", "orig_socket_connect_timeout", "orig_socket_timeout"),  # each other
}
LEFT_OUT_OF_MONGO = {
    *("document_class", "type_registry", "tz_aware", "tzinfo", "datetime_conversion"),  # no effect: documents are
    *("unicode_decode_error_handler", "uuidrepresentation"),  # read as a store needs them
    *("read_preference", "readpreference", "readpreferencetags", "maxstalenessseconds"),  # no effect: from the primary
    *("max_adaptive_retries", "enable_overload_retargeting"),  # other spellings
    "waitqueuemultiple",  # no effect since pymongo 4.0
}

# The first version of a driver that takes an option, where it is newer than the oldest that is supported.
REDIS_SINCE = {
    "ssl_ciphers": "5.1",
    "event_dispatcher": "5.3",
    "maint_notifications_config": "7.0",
    "ssl_exclude_verify_flags": "7.0",
    "ssl_include_verify_flags": "7.0",
    "driver_info": "7.2",
    "legacy_responses": "8.0",
}
MONGO_SINCE = {
    "authoidcallowedhosts": "4.4",
    "servermonitoringmode": "4.6",
    "enableoverloadretargeting": "4.17",
    "maxadaptiveretries": "4.17",
    "srvallowedhostssuffix": "4.18",
    "srv_host_validator": "4.19",
}


def redis_py_takes() -> set[str]:
    """The options of redis-py's blocking connections, and of the pool that keeps them."""
    found = {"retry", "retry_on_error"}
    for cls in (redis.BlockingConnectionPool, redis.SSLConnection, redis.UnixDomainSocketConnection):
        for base in cls.__mro__:
            for one in inspect.signature(vars(base).get("__init__", object)).parameters.values():
                if one.kind is one.POSITIONAL_OR_KEYWORD or one.kind is one.KEYWORD_ONLY:
                    found.add(one.name)
    return found - {"self"}


def version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")[:2]]


def assert_known(unknown: set[str], installed: str, newest: str) -> None:
    """Whether no option is missing here; those of a driver that is newer than this file are only a warning."""
    if unknown and version(installed) > version(newest):
        warnings.warn(f"New in {installed}: {unknown}", stacklevel=2)
    else:
        assert unknown == set()


def test_every_option_that_redis_py_takes_is_known() -> None:
    assert_known(redis_py_takes() - LEFT_OUT_OF_REDIS - REDIS_NAMES, redis.__version__, newest="8.1")
    too_new = REDIS_NAMES - redis_py_takes()
    assert too_new == {name for name, since in REDIS_SINCE.items() if version(redis.__version__) < version(since)}


def test_every_option_that_pymongo_takes_is_known() -> None:
    takes = set(map(str, pymongo.common.VALIDATORS))
    assert_known(takes - LEFT_OUT_OF_MONGO - set(MONGO_NAMES), pymongo.version, newest="4.20")
    too_new = set(MONGO_NAMES) - takes
    assert too_new == {name for name, since in MONGO_SINCE.items() if version(pymongo.version) < version(since)}


def refusal(make: Callable[[], SessionStore]) -> str:
    """What a store says against an option; "" if it takes it."""
    try:
        make().close()
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(REDIS_NAMES - set(REDIS_SINCE)))
def test_a_store_on_redis_knows_each_of_them(name: str) -> None:
    """A value of the wrong type is refused as such; the option is not called unknown."""
    said = refusal(lambda: RedisSessionStore("rediss://host", **{name: object()}))
    assert not said or (name in said and "nknown" not in said and "no effect" not in said)


@pytest.mark.parametrize("name", sorted(set(MONGO_NAMES) - set(MONGO_SINCE)))
def test_a_store_on_mongodb_knows_each_of_them(name: str) -> None:
    said = refusal(lambda: MongoSessionStore("mongodb://host/adk", **{"connect": False, MONGO_NAMES[name]: object()}))
    assert not said or (MONGO_NAMES[name] in said and "nknown" not in said)
