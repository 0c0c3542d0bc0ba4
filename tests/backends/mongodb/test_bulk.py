"""Updates sent as commands: the errors of their replies, and what is tried again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)

from adk_extra_sessions import MongoSessionStore
from adk_extra_sessions.backends.mongodb import bulk
from adk_extra_sessions.backends.mongodb.paging import portions
from adk_extra_sessions.backends.mongodb.retry import retried
from adk_extra_sessions.testing.contract.samples import APP, USER, an_event, texts

TOO_LARGE = {"index": 0, "code": 17419, "errmsg": "large"}
WAITED = {"code": 64, "errmsg": "waiting", "errInfo": {"wtimeout": True}}
LEAVING = (91, 189, 10107, 11600, 11602, 13435)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"writeErrors": [TOO_LARGE]}, WriteError),
        ({"writeErrors": [{**TOO_LARGE, "code": 189}]}, NotPrimaryError),
        ({"writeErrors": [{**TOO_LARGE, "code": 11000}]}, DuplicateKeyError),
        ({"writeConcernError": WAITED}, WTimeoutError),
        ({"writeConcernError": {"code": 50, "errmsg": "time"}}, WTimeoutError),
        ({"writeConcernError": {"code": 100, "errmsg": "no"}}, WriteConcernError),
        *[({"writeConcernError": {"code": code, "errmsg": "bye"}}, NotPrimaryError) for code in LEAVING],
        ({"writeErrors": [TOO_LARGE], "writeConcernError": {"code": 189, "errmsg": "bye"}}, NotPrimaryError),
        ({"writeErrors": [TOO_LARGE], "writeConcernError": WAITED}, WTimeoutError),
    ],
)
def test_errors_of_a_reply(reply: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        bulk._check({"n": 1, **reply})
    assert type(caught.value) is kind


@pytest.mark.parametrize("backend", ["mongod", "replicaset"], indirect=True)
def test_one_refused_of_many_in_two_parts(store: MongoSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses one in the first part; the second part is never sent."""
    sessions = [store.create_session(app_name=APP, user_id=USER, session_id=f"s{n}") for n in range(3)]
    store.backend.sessions.update_one({"session_id": "s0"}, {"$set": {"state": "no object"}})
    monkeypatch.setattr(bulk, "PART_BYTES", 1)
    out = store.append_many((one, an_event(one.id, delta={"own": 1})) for one in sessions)
    assert [isinstance(one, Exception) for one in out] == [True, False, False]
    for one in sessions[1:]:
        found = store.get_session(app_name=APP, user_id=USER, session_id=one.id)
        assert found is not None and texts(found) == [one.id] == texts(one)


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (AutoReconnect("x"), 3),
        (OperationFailure("x", 262), 3),
        (WTimeoutError("x", 64, WAITED), 1),
        (NetworkTimeout("x"), 1),
        (OperationFailure("x", 11), 1),
    ],
    ids=["connection", "shard", "timeout", "network", "other"],
)
def test_an_operation_is_tried_three_times_unless_it_timed_out_or_was_refused(error: Exception, times: int) -> None:
    tries = []

    @retried
    def broken() -> None:
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        broken()
    assert len(tries) == times


def test_a_mongos_is_never_one_log() -> None:
    def topology(kind: str, server: str) -> Any:
        servers = {("host", 1): SimpleNamespace(server_type_name=server)}
        description = SimpleNamespace(topology_type_name=kind, server_descriptions=lambda: servers)
        return SimpleNamespace(topology_description=description)

    kinds = [("Single", "Standalone"), ("Single", "RSPrimary"), ("ReplicaSetWithPrimary", "RSPrimary")]
    assert all(bulk._has_one_log(topology(*kind)) for kind in kinds)
    assert not any(bulk._has_one_log(topology(*kind)) for kind in [("Single", "Mongos"), ("Sharded", "Mongos")])


def test_what_nobody_waits_for_fails_for_nobody() -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise AutoReconnect("x")

    unanswered = SimpleNamespace(update_one=broken, bulk_write=broken)
    with MongoClient(connect=False) as client:
        collection = SimpleNamespace(with_options=lambda **_: unanswered, database=client.db)
        for count in (1, 2):
            bulk.send_and_forget(collection, [bulk.Update({"_id": 1}, {"$set": {"a": 1}})] * count)


def test_portions_are_small_in_number_and_in_size() -> None:
    assert [list(one) for one in portions([1, 1, 1, 5, 1, 9], 2, 6, int)] == [[1, 1], [1, 5], [1], [9]]
    assert list(portions([], 2, 6, int)) == []
