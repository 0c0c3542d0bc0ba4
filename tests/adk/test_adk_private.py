"""The private things of ADK that this package uses are where it looks for them."""

from __future__ import annotations

from google.adk.sessions import Session
from google.adk.version import __version__ as adk_version

from adk_extra_sessions.adk import private as adk_private


def test_the_storage_marker_is_a_private_attribute_of_sessions() -> None:
    session = Session(id="one", app_name="app", user_id="user")
    assert adk_private.storage_marker(session) is None
    adk_private.set_storage_marker(session, "7")
    assert adk_private.storage_marker(session) == "7"
    assert session.model_copy()._storage_update_marker == "7"
    assert set(Session.__private_attributes__) == {"_storage_update_marker"}


def test_the_stale_session_error_is_that_of_adk() -> None:
    assert issubclass(adk_private.StaleSessionError, ValueError)
    if tuple(int(part) for part in adk_version.split(".")[:2]) >= (2, 13):
        from google.adk.errors import StaleSessionError

        assert adk_private.StaleSessionError is StaleSessionError


def test_no_other_module_uses_private_names() -> None:
    from pathlib import Path

    import adk_extra_sessions

    folder = Path(adk_extra_sessions.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text()
        if path.name != "private.py":
            assert "google.adk._" not in text and "_storage_update_marker" not in text, path
            assert not [line for line in text.splitlines() if "google.adk" in line and "._" in line], path
