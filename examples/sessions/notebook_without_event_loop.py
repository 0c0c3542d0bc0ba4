"""Sessions without an event loop: the blocking store, in a script or in the cells of a notebook.

    python examples/sessions/notebook_without_event_loop.py
    REDIS_URL=redis://localhost:6379 python examples/sessions/notebook_without_event_loop.py
    MONGO_URL=mongodb://localhost:27017 python examples/sessions/notebook_without_event_loop.py

Without a server it uses an in-process fake.
"""

# %% Open a store on a server if the environment names one, otherwise on a fake.
from __future__ import annotations

import os

from dotenv import load_dotenv
from google.adk.events import Event, EventActions
from google.genai import types

from adk_extra_sessions import MongoSessionStore, RedisSessionStore, SessionStore

load_dotenv()
store: SessionStore
if os.environ.get("MONGO_URL"):
    store = MongoSessionStore(os.environ["MONGO_URL"], db_name=os.environ.get("MONGO_DB") or "adk_example")
else:
    store = RedisSessionStore(os.environ.get("REDIS_URL") or "fakeredis://example")
print(store)

# %% Create a session, with state of its own and of its user.
session = store.create_session(app_name="notebook", user_id="ada", state={"plan": "gold", "user:language": "en"})

# %% Append events; one of them changes the state.
store.append_event(session, Event(author="user", content=types.UserContent("Hello!")))
store.append_event(
    session,
    Event(author="agent", content=types.ModelContent("Hello!"), actions=EventActions(state_delta={"met": True})),
)

# %% List the user's sessions: state, but no events.
for found in store.list_sessions(app_name="notebook", user_id="ada").sessions:
    print("Listed:", found.id, found.state)

# %% Read the session back.
again = store.get_session(app_name="notebook", user_id="ada", session_id=session.id)
assert again is not None
for event in again.events:
    if event.content and event.content.parts:
        print(f"{event.author}: {event.content.parts[0].text}")

# %% Clean up: delete the session. The user's state stays.
store.delete_session(app_name="notebook", user_id="ada", session_id=session.id)
print("User's state:", store.get_user_state(app_name="notebook", user_id="ada"))
store.close()
