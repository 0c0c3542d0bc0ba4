"""What format 2 stores on Redis stays readable, and stays what is stored: `golden/` has it, key by key.

Whoever changes the form needs a new `stored_format.FORMAT`, a migration, and a dump of the new form beside this one.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from google.adk.events import Event
from support.redis_dump import Keys, bodies, dump, load

from adk_extra_sessions import RedisSessionStore
from adk_extra_sessions.backends.redis import scripts
from adk_extra_sessions.backends.redis.layout import AppKeys, Field
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.details import Lifetime, SessionDetails
from adk_extra_sessions.history.outline import NewOutline, Outline
from adk_extra_sessions.records import AppendRequest, NewSession, SessionKey, Window
from adk_extra_sessions.testing.contract.samples import an_event

APP, USER = "shop", "ada"
KEY = SessionKey(APP, USER, "s1")
HOSTILE = SessionKey(APP, "a/b:{}%é", "*\0 1")
NAMED = SessionKey(APP, USER, "named")
UNTIL = SessionKey(APP, USER, "until")
OUTLINE = Outline(5, 0, 3, ((0, 0),))
LABELS = {"kind": "order", "a:b": ""}
YEAR_2100 = Lifetime.until(4_102_444_800.0)
TEXTS = ["one", "two", "far ahead", "a step back", "five", "six ü"]
TIMES = [1000.0, 1000.1, 5000.0, 999.5, 1001.0, 1002.25]


@pytest.fixture(params=["fakeredis", "redis", "rediscluster"])
def backend(request: pytest.FixtureRequest) -> str:
    """Redis only."""
    from conftest import BACKENDS

    if request.param not in BACKENDS:
        pytest.skip("ADK_EXTRA_SESSIONS_SERVERS=1 tests real servers")
    return str(request.param)


@pytest.fixture
def golden(backend: str) -> Keys:
    """The dump: a cluster's differs in the app's state."""
    name = "cluster" if backend == "rediscluster" else "server"
    read: Keys = json.loads((Path(__file__).parent / "golden" / f"format-2-{name}.json").read_text("utf-8"))
    return read


def event(number: int, delta: dict[str, Any] | None = None) -> Event:
    return an_event(TEXTS[number], at=TIMES[number], delta=delta, id=f"e{number}")


def fill(store: RedisSessionStore) -> None:
    """Stores something of everything, with the ids and times that are otherwise made anew each time."""
    backend = store.backend

    def create(key: SessionKey, revision: int, state: dict[str, Any] | None = None, **details: Any) -> None:
        texts = Codec().encode_state(state or {})
        new = NewSession(key, revision, f"nonce-{revision}", texts, SessionDetails(create_time=900.5, **details))
        assert backend.create(new) is not None

    def append(key: SessionKey, one: Event) -> None:
        (outcome,) = backend.append([AppendRequest(key, [Codec().encode(one)])])
        assert outcome.error is None

    create(KEY, 1000, {"cart": ["ä"], "n": 1, "user:plan": "gold"})
    for number in range(len(TEXTS) - 1):
        append(KEY, event(number, {"n": number, "user:seen": number}))
    newest = Codec().encode(event(len(TEXTS) - 2, {"n": len(TEXTS) - 2, "user:seen": len(TEXTS) - 2})).digest
    backend.store_outline(KEY, NewOutline("compacted", OUTLINE, 1000, newest))
    create(HOSTILE, 2000)
    append(HOSTILE, event(0, {"a:b.$%\0": None}))
    backend = type(store)(client=store.client, prefix=store.prefix, ttl="1d").backend
    create(SessionKey(APP, USER, "expires"), 3000)
    create(
        NAMED, 4000, display_name="Shoes ü", labels={"kind": "order", "a:b": ""}, lifetime=Lifetime.sliding(7_200_000)
    )
    create(UNTIL, 5000, lifetime=YEAR_2100, parent_session_id="s1", root_session_id="s0")
    assert backend.turns.swap(KEY, None, '{"made": "for the test"}')
    app = AppKeys.of(store.prefix, APP).state
    change = AppendRequest(KEY, [Codec().encode(event(5, {"app:open": True}))])
    if backend.appending.split:
        backend.appending.split.apply(app, 7, {"motd": '"hi"'})
        # As a writer leaves it who dies before the change is applied.
        scripts.run(store.client, store.backend.appending.call(change, 8))
    else:
        backend.write_shared_state(APP, "", Codec().encode_state({"app:motd": "hi"}))
        assert store.backend.append([change])[0].error is None


def without_bodies(keys: Keys) -> Keys:
    """Leaves out what ADK's version decides, and checks the digests that are made of it."""
    plain: Keys = json.loads(json.dumps(keys))
    for header, body in bodies(keys):
        timestamp, digest = header.split()
        parsed = Event.model_validate_json(body)
        assert repr(parsed.timestamp) == timestamp
        assert digest == blake2b(body.encode(), digest_size=12).hexdigest()
        plain = json.loads(json.dumps(plain, ensure_ascii=False).replace(digest, f"digest of {parsed.id}"))
    for content in plain.values():
        if content["type"] == "list":
            content["holds"] = content["holds"][::2]
    return plain


def test_what_was_stored_is_read(store: RedisSessionStore, golden: Keys) -> None:
    load(store, golden)
    found = store.get_session(app_name=APP, user_id=USER, session_id="s1")
    assert found is not None
    assert found.state == {
        "cart": ["ä"], "n": 4, "user:plan": "gold", "user:seen": 4, "app:motd": "hi", "app:open": True,
    }  # fmt: skip
    assert [one.id for one in found.events] == [f"e{number}" for number in range(6)]
    assert [one.timestamp for one in found.events] == TIMES
    assert found.last_update_time == TIMES[-1]
    hostile = store.get_session(app_name=APP, user_id=HOSTILE.user_id, session_id=HOSTILE.session_id)
    assert hostile is not None and hostile.state["a:b.$%\0"] is None and len(hostile.events) == 1
    listed = {(one.user_id, one.id) for one in store.list_sessions(app_name=APP).sessions}
    assert listed == {
        (USER, "s1"),
        (HOSTILE.user_id, HOSTILE.session_id),
        *((USER, one) for one in ("expires", "named", "until")),
    }
    part = store.backend.read_part(KEY, "compacted", None)
    assert part is not None and part.outline == OUTLINE
    named, until = (store.backend.read(key, Window()) for key in (NAMED, UNTIL))
    assert named is not None and until is not None
    assert named.details.display_name == "Shoes ü" and named.details.labels == LABELS
    assert (named.details.create_time, named.details.lifetime) == (900.5, Lifetime.sliding(7_200_000))
    assert (until.details.parent_session_id, until.details.root_session_id) == ("s1", "s0")
    assert (until.details.lifetime, until.details.expire_time) == (YEAR_2100, YEAR_2100.expire_time)
    assert store.backend.turns.read(KEY)[0] == '{"made": "for the test"}'
    store.append_event(found, found.events[2].model_copy(deep=True))  # stored once
    store.append_event(found, an_event("next", at=1003.0))
    again = store.get_session(app_name=APP, user_id=USER, session_id="s1")
    assert again == found and len(found.events) == 7


def test_what_is_stored_has_the_same_form(store: RedisSessionStore, golden: Keys) -> None:
    fill(store)
    assert without_bodies(dump(store)) == without_bodies(golden)


def test_the_page_on_what_is_stored_has_every_field() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "stored-form.md").read_text("utf-8").partition("## Redis")[2]
    names = [name for word, name in vars(Field).items() if not word.startswith("__")]
    assert len(names) > 15
    missing = [
        name for name in names if f"`{name}`" not in page and f"`{name}NAME`" not in page and f"`{name}ID`" not in page
    ]
    assert missing == []
