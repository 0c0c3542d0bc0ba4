"""A store whose codec seals bodies keeps every promise: nothing but the codec looks into a body."""

from __future__ import annotations

import hashlib
import os
import zlib
from itertools import pairwise
from typing import Any

import pytest
from attrs import frozen
from google.adk.events import Event
from support.direct import Direct
from support.dumps import holding
from support.managed_memory_backend import ManagedMemoryBackend

from adk_extra_sessions import SessionStore
from adk_extra_sessions.backends.mongodb import limits
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.errors import CorruptRecordError
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.testing.contract import SessionServiceContract
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, ids
from adk_extra_sessions.transfer import Outcome, StorePlace, copy_items, verify_items

pytestmark = pytest.mark.not_on("rediscluster", "replicaset")  # nothing here depends on the kind of server

NAMES: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": "one"}


@frozen
class SealingCodec(Codec):
    """Makes bodies that are no text and that differ each time, as ciphers do."""

    def digest(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, key=b"secret", digest_size=12).digest()

    def seal(self, text: bytes) -> bytes:
        return b"\xff" + os.urandom(12) + zlib.compress(text)

    def open(self, body: bytes) -> bytes:
        try:
            return zlib.decompress(body[13:])
        except zlib.error:
            raise ValueError from None


def sealing(store: SessionStore, **options: Any) -> SessionStore:
    """Returns a store on the same backend that seals bodies."""
    return SessionStore(store.backend, StoreOptions(**options), SealingCodec())


class TestSealingStore(SessionServiceContract):
    """A store that seals bodies, on every backend."""

    @pytest.fixture
    def session_service(self, store: SessionStore) -> Direct:
        return Direct(sealing(store))


@pytest.mark.parametrize("size", [10, limits.BODY_BYTES + 1], ids=["small", "large"])
def test_no_text_of_events_is_on_the_server(store: SessionStore, size: int) -> None:
    sealed = sealing(store)
    session = sealed.create_session(**NAMES)
    for number in range(100):
        sealed.append_event(session, an_event("unreadable" + "x" * (size if number == 50 else 0)))
    assert not holding(store, "unreadable")
    found = sealed.get_session(**NAMES)
    assert found is not None and ids(found) == ids(session)


@pytest.mark.parametrize("options", [{"history": "compacted"}, {"history": 10}, {"cache": "1MB"}], ids=str)
def test_sealed_histories_are_loaded_in_part(store: SessionStore, options: dict[str, Any]) -> None:
    sealed = sealing(store, **options)
    session = sealed.create_session(**NAMES)
    events: list[Event] = []
    for number in range(1, 101):
        events.append(sealed.append_event(session, an_event(str(number))))
        if number % 50 == 0:
            found = sealed.get_session(**NAMES)
            assert found is not None
            assert ids(found)[-10:] == [event.id for event in events[-10:]]


def test_what_cannot_be_opened_is_named_by_its_position(store: SessionStore) -> None:
    plain, sealed = store.create_session(**NAMES), sealing(store)
    store.append_event(plain, an_event("unreadable"))
    with pytest.raises(CorruptRecordError, match="event at position 0 cannot be read") as error:
        sealed.get_session(**NAMES)
    assert "unreadable" not in str(error.value)
    assert len(sealed.list_sessions(app_name=APP).sessions) == 1


def test_a_given_codec_keeps_to_the_stores_options(store: SessionStore) -> None:
    session = sealing(store, unserializable="coerce").create_session(**NAMES, state={"a": object})
    assert session.state == {"a": "<class 'object'>"}


def test_copies_are_sealed_by_their_own_store(store: SessionStore) -> None:
    plain, back = SessionStore(ManagedMemoryBackend()), SessionStore(ManagedMemoryBackend())
    session = plain.create_session(**NAMES, state={"a": 1})
    for number in range(300):
        plain.append_event(session, an_event(f"unreadable {number}"))
    places = [StorePlace(one) for one in (plain, sealing(store), back)]
    for source, destination in pairwise(places):
        assert next(result.outcome for result in copy_items(source.items(), destination)) is Outcome.CREATED
        assert next(result.outcome for result in copy_items(source.items(), destination)) is Outcome.SAME
        assert not [result.problems for result in verify_items(source.items(), destination) if result.problems]
    assert not holding(store, "unreadable")
