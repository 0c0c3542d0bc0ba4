"""Export and import, where the file or a session is not as one would wish."""

from __future__ import annotations

import gzip
import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.conversations import fill_store

from adk_extra_sessions import MongoSessionStore, SessionStore
from adk_extra_sessions.testing.contract.samples import APP

Run = Callable[..., "object"]
ONLY_FAKE = pytest.mark.parametrize("backend", ["fakeredis"])  # it does not depend on the store


@pytest.fixture
def exported(run: Run, url: str, store: SessionStore, tmp_path: Path) -> Path:
    """A file of 40 sessions with 3 events each."""
    fill_store(store, users=[0], lengths={f"s{number:02}": 3 for number in range(40)})
    path = tmp_path / "all.jsonl"
    assert run("export", url, str(path)).code == 0
    return path


def test_a_damaged_session_is_left_out_of_an_export(
    run: Run, url: str, other_url: str, store: SessionStore, tmp_path: Path
) -> None:
    fill_store(store, users=[0], lengths={"short": 3, "long": 450, "other": 3})
    lose_an_early_event(store, "long")
    path = str(tmp_path / "all.jsonl")
    ran = run("export", url, path)
    assert ran.code == 1
    assert "Session 'long' of user 'u:0' in app 'app'" in ran.err
    assert "exported 3 sessions (1 failed, 2 written) and 6 events" in ran.err
    ran = run("import", path, other_url)
    assert (ran.code, "imported 2 sessions (2 created)" in ran.err) == (0, True)


def lose_an_early_event(store: SessionStore, session_id: str) -> None:
    if isinstance(store, MongoSessionStore):
        chunks = store.client[store.db_name]["event_chunks"]
        assert chunks.delete_one({"session_id": session_id}).deleted_count == 1
        return
    from adk_extra_sessions.backends.redis.layout import SessionKeys
    from adk_extra_sessions.records import SessionKey

    keys = SessionKeys.of(store.prefix, SessionKey(APP, "u:0", session_id))  # type: ignore[attr-defined]
    store.client.lset(keys.events, 11, "{}garbage")  # type: ignore[attr-defined]


@ONLY_FAKE
def test_a_session_deleted_while_it_is_exported_is_left_out(
    run: Run, url: str, store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_store(store, users=[0], lengths={"short": 3, "long": 1200})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    names = {"app_name": APP, "user_id": "u:0", "session_id": "long"}
    earlier = type(store.backend).earlier  # type: ignore[attr-defined]

    def deleted_meanwhile(self: object, record: object) -> object:
        for number, page in enumerate(earlier(self, record)):
            if number == 0:
                store.delete_session(**names)
            yield page

    monkeypatch.setattr(type(store.backend), "earlier", deleted_meanwhile)
    path = tmp_path / "all.jsonl"
    ran = run("export", url, str(path))
    assert ran.code == 1
    assert "Session 'long' of user 'u:0' in app 'app' was deleted while it was read." in ran.err
    assert path.read_text().count('{"event"') == 3


@ONLY_FAKE
def test_permissions_stay_and_new_files_have_the_umasks(run: Run, url: str, exported: Path, tmp_path: Path) -> None:
    exported.chmod(0o600)
    assert run("export", url, str(exported)).code == 0
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    before = os.umask(0o027)
    try:
        assert run("export", url, str(tmp_path / "new")).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "new"]


@ONLY_FAKE
def test_links_devices_and_fifos_are_written_to(run: Run, url: str, exported: Path, tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to("target")
    assert run("export", url, str(link)).code == 0
    assert link.is_symlink() and target.read_bytes() == exported.read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    assert run("export", url, str(fifo)).code == 0
    reader.join(60)
    assert read == [exported.read_bytes()] and fifo.is_fifo()
    assert run("export", url, os.devnull).code == 0
    assert Path(os.devnull).is_char_device()


@ONLY_FAKE
def test_an_unusable_target_is_found_before_any_work(run: Run, exported: Path, url: str, tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "no" / "file"):
        ran = run("export", url, str(target))
        assert ran.code == 2
        assert str(target) in ran.err and "exported" not in ran.err


@ONLY_FAKE
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("cut", "whole"), [(1, 40), (2, 39), (12, 37), (4 * 36 + 4, 3)])
def test_a_file_that_is_cut_off_is_imported_as_far_as_it_goes(
    run: Run, exported: Path, other_url: str, compressed: bool, cut: int, whole: int
) -> None:
    lines = [line for line in exported.read_bytes().splitlines(keepends=True) if b"_state" not in line[:14]]
    data = b"".join(lines[:-cut])
    exported.write_bytes(gzip.compress(data)[:-8] if compressed else data)
    ran = run("import", str(exported), other_url)
    assert ran.code == 1
    assert f"imported {whole} sessions ({whole} created) and {3 * whole} events" in ran.err
    assert "gzip file" in ran.err if compressed else "incomplete" in ran.err
    assert f"{whole} sessions with {3 * whole} events can be read" in run("doctor", other_url).out


@ONLY_FAKE
def test_a_session_cut_out_of_a_file_is_noticed(run: Run, exported: Path, other_url: str) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    exported.write_bytes(b"".join(lines[:5] + lines[9:]))
    ran = run("import", str(exported), other_url)
    assert ran.code == 1
    assert "it has 39 sessions with 117 events, but its last line has other totals" in ran.err
    assert "imported 39 sessions" in ran.err


@ONLY_FAKE
def test_a_gzip_file_whose_content_was_changed_is_noticed(run: Run, exported: Path, other_url: str) -> None:
    data = bytearray(gzip.compress(exported.read_bytes()))
    data[-8] ^= 1  # of the checksum
    exported.write_bytes(data)
    ran = run("import", str(exported), other_url)
    assert (ran.code, "it is not a complete gzip file" in ran.err) == (1, True)


@ONLY_FAKE
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_gzip_is_recognised_by_its_content(
    run: Run, exported: Path, other_url: str, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    data = gzip.compress(exported.read_bytes()) if compressed else exported.read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert "imported 40 sessions (40 created)" in run("import", "-", other_url).err
    exported.write_bytes(data)
    assert run("import", str(exported), other_url, "--dry-run", "--verify").code == 0


@ONLY_FAKE
def test_import_verify_imports_and_compares(run: Run, exported: Path, other_url: str) -> None:
    ran = run("import", str(exported), other_url, "--dry-run", "--verify")
    assert (ran.code, "imported" in ran.err, "(40 different)" in ran.err) == (1, False, True)
    ran = run("import", str(exported), other_url, "--verify")
    assert ran.code == 0
    assert "imported 40 sessions (40 created)" in ran.err
    assert "compared 40 sessions (40 the same)" in ran.err
    ran = run("import", "-", other_url, "--verify")
    assert (ran.code, "must be a regular file" in ran.err) == (2, True)


@ONLY_FAKE
@pytest.mark.parametrize("chosen", [["--app", "shap"], ["--user", "u:00"], ["--app", APP, "--user", "u:00"]])
@pytest.mark.parametrize("command", ["copy", "export", "import"])
def test_a_mistyped_app_or_user_is_named(
    run: Run, exported: Path, url: str, other_url: str, tmp_path: Path, command: str, chosen: list[str]
) -> None:
    places = {"copy": [url, other_url], "export": [url, str(tmp_path / "b")], "import": [str(exported), other_url]}
    ran = run(command, *places[command], *chosen)
    assert ran.code == 2
    assert repr(chosen[-1]) in ran.err
    assert not (tmp_path / "b").exists()
