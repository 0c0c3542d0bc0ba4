"""Our URLs in ADK's service registry, by `register()` and by `services.yaml`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.adk.cli.service_registry import get_service_registry, load_services_module
from google.adk.sessions import InMemorySessionService

from adk_extra_sessions import ConfigurationError, MongoSessionService, RedisSessionService
from adk_extra_sessions.adk.registry import register

URIS = {
    "redis://host:7/3": RedisSessionService,
    "rediss://host": RedisSessionService,
    "unix:///run/redis.sock?db=3": RedisSessionService,
    "fakeredis://": RedisSessionService,
    "mongodb://one:1,two:2/db?connect=false": MongoSessionService,
    "mongomock://name/db": MongoSessionService,
}


def created(uri: str, **options: Any) -> Any:
    """Returns the service that ADK makes of a URI, as its command line does."""
    return get_service_registry().create_session_service(uri, agents_dir="/agents", **options)


@pytest.fixture(params=["register", "services.py", "services.yaml", "PYTHONPATH"])
def registered(
    request: pytest.FixtureRequest, agents: Path, new_registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way to have our schemes registered."""
    if request.param == "register":
        register()
    elif request.param == "services.py":
        load_services_module(str(agents))
    elif request.param == "services.yaml":
        load_services_module(str(agents / "uppercase"))
    else:
        (agents / "uppercase" / "services.yaml").unlink()
        monkeypatch.syspath_prepend(agents)
        load_services_module(str(agents / "uppercase"))


@pytest.mark.parametrize(("uri", "service"), URIS.items(), ids=URIS)
def test_a_url_makes_a_service(registered: None, uri: str, service: type) -> None:
    assert type(created(uri)) is service


def test_an_unregistered_scheme_makes_none(new_registry: None) -> None:
    assert created("fakeredis://") is None


def test_a_cluster_is_looked_up_by_its_name(registered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(name: str, *args: object, **kwargs: object) -> None:
        asked.append(str(name))
        raise OSError("no network here")

    monkeypatch.setattr("dns.resolver.resolve", resolve)
    with pytest.raises((ConfigurationError, OSError)):
        created("mongodb+srv://cluster.example.test/db?ttl=1d&serverSelectionTimeoutMS=1").store.ping()
    assert "_mongodb._tcp.cluster.example.test" in asked


def test_options_ride_in_the_query_string(registered: None) -> None:
    redis = created("redis://h?ttl=30d&prefix=prod&on_stale=append&max_connections=7&timeout=3&socket_timeout=2")
    assert (redis.store.options.ttl_ms, redis.store.options.on_stale) == (30 * 86_400_000, "append")
    assert redis.store.prefix == "prod"
    pool = redis.store.client.connection_pool
    assert (pool.max_connections, pool.timeout, pool.connection_kwargs["socket_timeout"]) == (7, 3.0, 2.0)

    options = "ttl=12h&collection_prefix=adk_&on_stale=append&maxPoolSize=7&timeoutMS=3000&connect=false"
    mongo = created(f"mongodb://h/db?{options}")
    assert (mongo.store.options.ttl_ms, mongo.store.options.on_stale) == (12 * 3_600_000, "append")
    assert (mongo.store.db_name, mongo.store.collection_prefix) == ("db", "adk_")
    client = mongo.store.client.options
    assert (client.pool_options.max_pool_size, client.timeout) == (7, 3.0)


def test_options_may_be_passed_beside_the_url(registered: None) -> None:
    assert created("redis://h", ttl="30d", client_name="me").store.options.ttl_ms == 30 * 86_400_000
    assert created("mongomock://h", db_name="db").store.db_name == "db"


@pytest.mark.parametrize("uri", URIS)
def test_an_unknown_option_is_refused_by_its_name(registered: None, uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"nknown option:? '?tll"):
        created(uri + ("&" if "?" in uri else "?") + "tll=30d")


def test_ours_replace_what_was_registered(new_registry: None) -> None:
    get_service_registry().register_session_service("fakeredis", lambda uri, **kwargs: InMemorySessionService())
    assert type(created("fakeredis://")) is InMemorySessionService
    register()
    register()
    assert type(created("fakeredis://")) is RedisSessionService
    assert type(created("memory://")) is InMemorySessionService


def test_registering_imports_no_driver() -> None:
    script = "from adk_extra_sessions.adk.registry import register; register(); import sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"redis", "pymongo", "fakeredis", "mongomock"} & set(ran.stdout.split())
