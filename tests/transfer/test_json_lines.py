"""Files of exported sessions: complete or refused, and read as they are needed."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.adk.events import Event
from google.adk.sessions import Session
from support.conversations import LENGTHS, fill_store, outcomes

from adk_extra_sessions import SessionFileError, SessionStore
from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import (
    SessionItem,
    SharedStateItem,
    StorePlace,
    StreamedSession,
    copy_items,
    files,
    read_items,
    verify_items,
    write_items,
)

EVERY = 2 * len(LENGTHS)


def exported(store: SessionStore) -> bytes:
    file = io.BytesIO()
    list(write_items(StorePlace(store).items(), file))
    return file.getvalue()


def test_what_was_exported_is_imported_exactly(store: SessionStore, other_store: SessionStore) -> None:
    fill_store(store)
    data = exported(store)
    assert outcomes(copy_items(read_items(io.BytesIO(data)), StorePlace(other_store))) == {"created": EVERY, "state": 3}
    assert outcomes(verify_items(StorePlace(store).items(), StorePlace(other_store))) == {"the same": EVERY + 3}
    assert outcomes(verify_items(read_items(io.BytesIO(data)), StorePlace(store))) == {"the same": EVERY + 3}
    assert outcomes(copy_items(read_items(io.BytesIO(data)), StorePlace(other_store))) == {
        "the same": EVERY,
        "state": 3,
    }


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_each_line_is_json_and_says_what_it_is(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    lines = [json.loads(line) for line in exported(store).splitlines()]
    assert [next(iter(line)) for line in lines] == [
        "adk_sessions",
        "session",
        *["event"] * 3,
        "user_state",
        "app_state",
        "end",
    ]
    assert lines[0]["adk_sessions"] == 1
    assert "ratio" in (own := lines[1]["session"]["state"]) and not any(":" in key for key in own)
    assert lines[-1] == {"end": {"sessions": 1, "events": 3}}
    assert [line["event"]["id"] for line in lines[2:5]] == ["e0", "e1", "e2"]


def test_a_file_keeps_state_that_json_has_no_word_for(store: SessionStore, other_store: SessionStore) -> None:
    state = {"nan": math.nan, "user:inf": math.inf, "app:list": [-math.inf]}
    names = {"app_name": APP, "user_id": "u", "session_id": "one"}
    store.create_session(**names, state=state)
    outcomes(copy_items(read_items(io.BytesIO(exported(store))), StorePlace(other_store)))
    found = other_store.get_session(**names)
    assert found is not None
    assert {key: repr(value) for key, value in found.state.items()} == {key: repr(state[key]) for key in state}


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_a_session_deleted_after_it_was_listed_is_in_no_file(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    (item, *_) = list(StorePlace(store).items())
    store.delete_session(app_name=APP, user_id="u:0", session_id="short")
    file = io.BytesIO()
    assert outcomes(write_items([item], file)) == {"gone": 1}
    file.seek(0)
    assert list(read_items(file)) == []


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_only_what_was_chosen_is_imported(store: SessionStore, other_store: SessionStore) -> None:
    fill_store(store)
    store.create_session(app_name="elsewhere", user_id="another elsewhere")
    items = read_items(io.BytesIO(exported(store)), [APP], ["u:1"])
    assert outcomes(copy_items(items, StorePlace(other_store))) == {"created": len(LENGTHS), "state": 1}
    for chosen in ([["another app"], []], [[APP], ["another user"]], [[APP], ["another elsewhere"]]):
        with pytest.raises(SessionFileError, match="another"):
            list(read_items(io.BytesIO(exported(store)), *chosen))


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_reformatted_lines_are_read(store: SessionStore, other_store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    lines = exported(store).splitlines()
    reformatted = b"\n\n".join(json.dumps(json.loads(line)).encode() for line in lines)
    outcomes(copy_items(read_items(io.BytesIO(reformatted)), StorePlace(other_store)))
    assert outcomes(verify_items(StorePlace(store).items(), StorePlace(other_store))) == {"the same": 3}


def changed(lines: list[bytes], damage: str) -> list[bytes]:
    if damage == "no end":
        return lines[:-1]
    if damage == "cut":
        return [*lines[:-2], lines[-2][: len(lines[-2]) // 2]]
    if damage == "an event less":
        return lines[:3] + lines[4:]
    if damage == "an event more":
        return [*lines[:3], lines[3], *lines[3:]]
    if damage == "another header":
        return [b'{"other": 1}', *lines[1:]]
    if damage == "newer":
        return [b'{"adk_sessions": 2, "written_by": "x"}', *lines[1:]]
    if damage == "no JSON":
        return [*lines[:3], b"nonsense", *lines[4:]]
    if damage == "another file after it":
        return [*lines, *lines]
    if damage == "unknown":
        return [*lines[:-1], b'{"surprise": {}}', lines[-1]]
    return []


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("session_id", ["short", "long"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("no end", "incomplete"),
        ("cut", "cannot be read"),
        ("an event less", "cannot be read"),
        ("an event more", "Line .* cannot be read"),
        ("another header", "Not a file of exported sessions"),
        ("newer", "newer version"),
        ("no JSON", "Line 4 of the file cannot be read"),
        ("another file after it", "cannot be read"),
        ("unknown", "cannot be read"),
        ("empty", "Not a file of exported sessions"),
    ],
)
def test_a_damaged_file_is_refused(
    store: SessionStore, other_store: SessionStore, session_id: str, damage: str, reason: str
) -> None:
    fill_store(store, users=[0], lengths={session_id: LENGTHS[session_id]})
    data = b"\n".join(changed(exported(store).splitlines(), damage))
    with pytest.raises(SessionFileError, match=reason):
        list(copy_items(read_items(io.BytesIO(data)), StorePlace(other_store)))


@pytest.mark.parametrize(
    "line",
    [
        '{"session": {}}',
        '{"session": 7}',
        '{"session": {"app_name": 7, "user_id": "u", "id": "s", "state": {}, "last_update_time": 1.5, "events": 0}}',
        '{"session": {"app_name": "a", "user_id": "u", "id": "s", "state": 7, "last_update_time": 1.5, "events": 0}}',
        '{"session": {"app_name": "a", "user_id": "u", "id": "s", "state": {}, "last_update_time": 1, "events": "?"}}',
        '{"app_state": {}}',
        '{"app_state": 7}',
        '{"app_state": {"app_name": "a", "state": ["x"]}}',
        '{"app_state": {"app_name": "a", "state": {}}, "more": 1}',
        "{}",
        "[]",
    ],
)
def test_a_line_with_wrong_values_is_named(line: str) -> None:
    with pytest.raises(SessionFileError, match="Line 2 of the file cannot be read"):
        list(read_items(io.BytesIO(f'{{"adk_sessions": 1}}\n{line}\n'.encode())))


@pytest.mark.parametrize(
    ("line", "reason"), [("no JSON", "Not a file of exported"), ('{"adk_sessions": "2"}', "A newer version")]
)
def test_a_file_with_another_first_line_is_refused(line: str, reason: str) -> None:
    with pytest.raises(SessionFileError, match=reason):
        list(read_items(io.BytesIO(line.encode())))


def test_a_very_long_session_passes_through_in_pieces() -> None:
    """Neither writing nor reading ever holds more than a small part of it."""
    read = 0

    def many() -> Iterator[Event]:
        for number in range(3000):
            yield an_event(str(number), at=float(number))

    class Watched(io.BytesIO):
        def __next__(self) -> bytes:
            nonlocal read
            read += 1
            return super().__next__()

    session = Session(id="s", app_name=APP, user_id="u", last_update_time=2999.0)
    item = SessionItem(SessionKey(APP, "u", "s"), lambda _: StreamedSession(session, 3000, many()))
    file = Watched()
    list(write_items([item, SharedStateItem(APP, None, {"a": 1})], file))
    file.seek(0)
    items = read_items(file)
    first = next(items)
    assert isinstance(first, SessionItem)
    with first.reading() as found:
        assert found is not None
        for number, _ in enumerate(found.events, start=1):
            assert read - number < 300
    assert number == 3000
    assert [type(item) for item in items] == [SharedStateItem]


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_a_session_that_is_not_read_to_its_end_is_skipped(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"long": 450})
    items = read_items(io.BytesIO(exported(store)))
    first = next(items)
    assert isinstance(first, SessionItem)
    with first.reading() as found:
        assert found is not None and next(found.events).id == "e0"
    assert len(list(found.events)) < 300  # what had been read by then
    assert [type(item) for item in items] == [SharedStateItem, SharedStateItem]


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
def test_short_sessions_can_be_read_when_the_file_is_closed(store: SessionStore) -> None:
    fill_store(store, users=[0], lengths={"short": 3, "some": 20})
    items = list(read_items(io.BytesIO(exported(store))))
    read = [item.load(item.key) for item in items if isinstance(item, SessionItem)]
    assert sorted(len(list(found.events)) for found in read if found is not None) == [3, 20]


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("name", ["sessions.jsonl", "sessions.jsonl.gz"])
def test_a_file_appears_when_it_is_complete(store: SessionStore, tmp_path: Path, name: str) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    path = tmp_path / name

    def interrupted() -> None:
        with files.writing(str(path)) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    with files.writing(str(path)) as file:
        list(write_items(StorePlace(store).items(), file))
        assert not path.exists()
    assert path.read_bytes().startswith(b"\x1f\x8b") is name.endswith(".gz")
    with files.reading(str(path)) as file:
        assert outcomes(verify_items(read_items(file), StorePlace(store))) == {"the same": 3}


@pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store
@pytest.mark.parametrize("damaged", ["end cut", "half cut", "all cut", "overwritten", "no gzip"])
def test_a_damaged_gzip_file_is_named(store: SessionStore, tmp_path: Path, damaged: str) -> None:
    fill_store(store, users=[0], lengths={"long": 450})
    data = gzip.compress(exported(store))
    kept = {"end cut": data[:-20], "half cut": data[: len(data) // 2], "all cut": data[:12]}
    kept["overwritten"] = data[:10] + b"\xff" * 20  # after the header
    (tmp_path / "a.gz").write_bytes(kept.get(damaged, exported(store)))
    with (
        pytest.raises(SessionFileError, match=r"not a (complete )?gzip file"),
        files.reading(str(tmp_path / "a.gz")) as file,
    ):
        list(verify_items(read_items(file), StorePlace(store)))
