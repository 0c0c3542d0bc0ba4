"""Copy, export, import and compare sessions exactly, from a script; `adk-sessions` uses these functions too.

with open_place("sqlite:///sessions.db") as source, open_place("redis://localhost") as destination:
    for result in copy_items(source.items(["shop"]), destination):
        print(result)
"""

from adk_extra_sessions.records import SessionKey
from adk_extra_sessions.transfer.copying import Outcome, Result, copy_items, plan_items, verify_items
from adk_extra_sessions.transfer.items import Item, SessionItem, SharedStateItem
from adk_extra_sessions.transfer.json_lines import read_items, write_items
from adk_extra_sessions.transfer.opening import open_place
from adk_extra_sessions.transfer.places import Place, StorePlace
from adk_extra_sessions.transfer.restoring import Restored, Status, restore_session, write_shared_state
from adk_extra_sessions.transfer.services import ServicePlace
from adk_extra_sessions.transfer.streams import StreamedSession, stream_session

__all__ = [
    "Item",
    "Outcome",
    "Place",
    "Restored",
    "Result",
    "ServicePlace",
    "SessionItem",
    "SessionKey",
    "SharedStateItem",
    "Status",
    "StorePlace",
    "StreamedSession",
    "copy_items",
    "open_place",
    "plan_items",
    "read_items",
    "restore_session",
    "stream_session",
    "verify_items",
    "write_items",
    "write_shared_state",
]
