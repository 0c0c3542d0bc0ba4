"""What only Redis has: round trips, scripts, clients of every kind."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from support.redis_clients import clients
from support.servers import RedisServer

from adk_extra_sessions import NotReplicatedError, RedisSessionStore, SessionStore
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

NAMES = {"app_name": APP, "user_id": USER, "session_id": "one"}


@pytest.fixture(params=["fakeredis", "redis"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    return str(request.param)


@pytest.fixture
def round_trips(store: RedisSessionStore, server: object) -> Callable[[Callable[[], Any]], int]:
    """Counts the round trips of an operation on the server: how often it read from a connection."""

    def received() -> int:
        return int(store.client.info("stats")["total_reads_processed"])

    def count(operation: Callable[[], Any]) -> int:
        before = received()
        operation()
        return received() - before - 1

    return count


def test_round_trips(store: RedisSessionStore, round_trips: Callable[[Callable[[], Any]], int]) -> None:
    delta = {"a": 1, "user:a": 1, "app:a": 1}
    session = store.create_session(**NAMES, state=delta)
    store.append_event(session, an_event(delta=delta))  # from here on the server knows the scripts
    store.get_session(**NAMES)
    store.list_sessions(app_name=APP)
    store.delete_session(**NAMES)
    session = store.create_session(**NAMES)
    for operation in (
        lambda: store.append_event(session, an_event(delta=delta)),
        lambda: store.append_many((session, an_event()) for _ in range(5)),
        lambda: store.get_session(**NAMES),
        lambda: store.get_session(**NAMES, config=GetSessionConfig(num_recent_events=2)),
        lambda: store.create_session(app_name=APP, user_id="other", state=delta),
        lambda: store.delete_session(**NAMES),
    ):
        assert round_trips(operation) == 1
    for number in range(20):
        store.create_session(app_name=APP, user_id=f"user{number % 4}")
    assert round_trips(lambda: store.list_sessions(app_name=APP, user_id="user1")) <= 2
    assert round_trips(lambda: store.list_sessions(app_name=APP)) <= 3
    user: dict[str, Any] = {"app_name": APP, "user_id": "user1"}
    session_id = store.create_session(**user).id
    for operation in (
        lambda: store.list_sessions(**user, page_size=2, order_by="update_time desc"),
        lambda: store.list_sessions(**user, page_size=2, labels={"a": "b"}),
        lambda: store.count_sessions(**user),
        lambda: store.count_sessions(app_name=APP),
        lambda: store.get_or_create_session(**user, session_id=session_id),
        lambda: store.update_session(**user, session_id=session_id, display_name="a", labels={"a": "b"}, ttl="1h"),
        lambda: store.prune_sessions(**user, before=1.0),
    ):
        operation()  # from here on the server knows the scripts
        assert round_trips(operation) <= 2


def test_of_a_cached_history_only_the_end_is_read_in_one_round_trip(
    store: RedisSessionStore,
    make_store: Callable[..., RedisSessionStore],
    round_trips: Callable[[Callable[[], Any]], int],
) -> None:
    def sent() -> int:
        return int(store.client.info("stats")["total_net_output_bytes"])

    cached = make_store(cache="10MB")
    session = store.create_session(**NAMES)
    store.append_many((session, an_event("x" * 500)) for _ in range(1000))
    cached.get_session(**NAMES)
    store.append_many((session, an_event("x" * 500)) for _ in range(4))
    before = sent()
    assert round_trips(lambda: cached.get_session(**NAMES)) == 1
    assert sent() - before < 40_000
    assert cached.get_session(**NAMES) == store.get_session(**NAMES)


def test_scripts_survive_being_flushed(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES)
    for number in range(3):
        store.client.script_flush()
        store.append_event(session, an_event(str(number)))
    store.client.script_flush()
    other = store.create_session(app_name=APP, user_id=USER)
    store.append_many([(session, an_event("3")), (other, an_event("4"))])
    store.client.script_flush()
    found = store.get_session(**NAMES)
    assert found is not None and texts(found) == ["0", "1", "2", "3"]
    store.client.script_flush()
    store.delete_session(**NAMES)
    assert store.get_session(**NAMES) is None


def test_any_client_will_do(store: RedisSessionStore) -> None:
    session = store.create_session(**NAMES, state={"a": "ä", "user:a": "ä", "app:a": "ä"})
    for number, client in enumerate(clients(store)):
        with RedisSessionStore(client=client, prefix=store.prefix) as other:
            store.append_event(session, an_event(str(number), delta={"a": "ö", "user:a": "ö"}))
            found = other.get_session(**NAMES)
            assert found == session
            found = other.append_event(found, an_event("more")) and found
            (listed,) = other.list_sessions(app_name=APP).sessions
            assert listed.state == {"a": "ö", "user:a": "ö", "app:a": "ä"}
            assert other.get_user_state(app_name=APP, user_id=USER) == {"a": "ö"}
            created = other.create_session(app_name=APP, user_id=USER)
            assert created.state == {"user:a": "ö", "app:a": "ä"}
            other.delete_session(app_name=APP, user_id=USER, session_id=created.id)
            session = found
        client.ping()


def test_refresh_on_read_renews_expiry(make_store: Callable[..., RedisSessionStore]) -> None:
    store = make_store(ttl="10h", refresh_on_read=True)
    session = store.create_session(**NAMES)
    store.append_event(session, an_event())
    keys = [f"{store.prefix}:{{{APP}/{USER}}}:{kind}".encode() for kind in (f"s:{session.id}", f"e:{session.id}", "i")]
    for key in keys:
        store.client.pexpire(key, 3_600_000)
    store.get_session(**NAMES)
    assert all(store.client.pttl(key) > 35_000_000 for key in keys)
    others = [key for key in store.client.keys(f"{store.prefix}*") if key not in keys]
    assert all(store.client.pttl(key) == -1 for key in others)


def test_refresh_on_read_renews_a_sessions_own_ttl(make_store: Callable[..., RedisSessionStore]) -> None:
    store = make_store(ttl=100, refresh_on_read=True)
    store.create_session(**NAMES, ttl=1000)
    store.client.pexpire(session_key(store, "s"), 500_000)
    store.get_session(**NAMES)
    assert store.client.pttl(session_key(store, "s")) > 900_000


def test_a_reader_shortens_nobodys_expiry(make_store: Callable[..., RedisSessionStore]) -> None:
    kept, brief = make_store(), make_store(ttl=1, refresh_on_read=True)
    session = kept.create_session(**NAMES)
    kept.append_event(session, an_event())
    brief.get_session(**NAMES)
    keys = list(kept.client.scan_iter(match=f"{kept.prefix}*"))
    assert all(kept.client.pttl(key) == -1 for key in keys)
    make_store(ttl="10h").append_event(session, an_event())
    brief.get_session(**NAMES)
    left = [kept.client.pttl(key) for key in keys]
    assert sum(one > 35_000_000 for one in left) == 3 and all(one > 35_000_000 or one == -1 for one in left)


def test_index_entries_of_expired_sessions_are_dropped(store: RedisSessionStore) -> None:
    for name in ("one", "two", "three"):
        store.create_session(app_name=APP, user_id=USER, session_id=name)
    (index,) = [key for key in store.client.keys(f"{store.prefix}*") if key.endswith(b"user}:i")]
    store.client.delete(*(key for key in store.client.keys(f"{store.prefix}*") if key.endswith((b":s:one", b":s:two"))))
    assert [one.id for one in store.list_sessions(app_name=APP).sessions] == ["three"]
    assert store.client.zrange(index, 0, -1) == [b"three"]


def test_the_last_session_of_a_user_takes_the_user_along(store: RedisSessionStore) -> None:
    store.create_session(**NAMES)
    store.delete_session(**NAMES)
    assert store.client.keys(f"{store.prefix}*") == []


def test_a_session_in_the_place_of_an_evicted_one_has_none_of_its_events(store: RedisSessionStore) -> None:
    store.append_event(store.create_session(**NAMES), an_event("before"))
    store.client.delete(session_key(store, "s"))
    session = store.create_session(**NAMES)
    store.append_event(session, an_event("after"))
    again = store.get_session(**NAMES)
    assert again is not None and texts(again) == texts(session) == ["after"]


def session_key(store: RedisSessionStore, kind: str) -> bytes:
    (key,) = [key for key in store.client.keys(f"{store.prefix}*") if key.endswith(f":{kind}:one".encode())]
    return bytes(key)


def test_what_fails_before_the_server_answers_is_no_damage() -> None:
    with redis.Redis(port=1, retry=3) as client:  # type: ignore[arg-type]
        store = RedisSessionStore(client=client)
        session = Session(id="one", app_name=APP, user_id=USER)
        for operation in (
            lambda: store.create_session(**NAMES),
            lambda: store.get_session(**NAMES),
            lambda: store.list_sessions(app_name=APP),
            lambda: store.delete_session(**NAMES),
            lambda: store.get_user_state(app_name=APP, user_id=USER),
            lambda: store.append_event(session, an_event()),
        ):
            with pytest.raises(AttributeError):
                operation()


class Compressing(Codec):
    """Makes an event smaller than a value in its state delta."""

    def seal(self, text: bytes) -> bytes:
        return zlib.compress(text)

    def open(self, body: bytes) -> bytes:
        return zlib.decompress(body)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("large", "codec"),
    [(an_event("x" * (2 << 20)), Codec()), (an_event(delta={"key": "€" * 400_000}), Compressing())],
    ids=["event", "state value"],
)
def test_an_event_over_what_the_server_takes_fails_alone(large: Event, codec: Codec) -> None:
    with RedisServer("--proto-max-bulk-len", "1mb") as server, RedisSessionStore(server.url) as plain:
        store = SessionStore(plain.backend, plain.options, codec)
        sessions = [store.create_session(app_name=APP, user_id=USER) for _ in range(5)]
        appends = [(session, large if at == 2 else an_event("small")) for at, session in enumerate(sessions)]
        results = store.append_many(appends)
        assert [isinstance(result, redis.RedisError) for result in results] == [False, False, True, False, False]
        for at, session in enumerate(sessions):
            found = store.get_session(app_name=APP, user_id=USER, session_id=session.id)
            assert found == session and texts(found) == ([] if at == 2 else ["small"])
        with RedisSessionStore(server.url, wait_replicas=1, wait_timeout=0.1) as other:  # there is no replica
            waiting = SessionStore(other.backend, other.options, codec)
            results = waiting.append_many((session, event.model_copy(deep=True)) for session, event in appends)
        assert [isinstance(result, NotReplicatedError) for result in results] == [True, True, False, True, True]
