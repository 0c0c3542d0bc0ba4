"""A conversation on MongoDB that continues after a restart.

    python examples/sessions/mongodb_session_example.py
    MONGO_URL=mongodb://localhost:27017 python examples/sessions/mongodb_session_example.py

Without a server it uses an in-process fake. With one, run it twice.
"""

from __future__ import annotations

import asyncio
import os

from dotenv import load_dotenv
from uppercase_agent import QUESTION, open_session, say

from adk_extra_sessions import MongoSessionService


async def main() -> None:
    """Sends a message with one service object, and continues with another one."""
    load_dotenv()
    url = os.environ.get("MONGO_URL") or "mongomock://example"
    database = os.environ.get("MONGO_DB") or "adk_example"

    async with MongoSessionService(url, database) as service:
        print(service)
        session = await open_session(service)
        run = session.state.get("runs", 0) + 1
        print(f"Run {run} of this conversation; {len(session.events)} events so far.")
        await say(service, f"hello from run {run}", state={"runs": run})

    print("-- a new service object, as after a restart --")
    async with MongoSessionService(url, database) as service:
        await say(service, QUESTION)


if __name__ == "__main__":
    asyncio.run(main())
